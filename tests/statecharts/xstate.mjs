// Runs a machine in XState: takes {machine, walks} as JSON, gives for each event of each walk the leaf and the actions.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// The folder in which `make` has installed it is the argument; elsewhere Node's own search finds it.
const require = createRequire(process.argv[2]);
const { createMachine, initialTransition, transition } = require("xstate");

const { machine: config, walks } = JSON.parse(readFileSync(0, "utf8"));
const machine = createMachine(config);
const leafOf = (value) =>
  typeof value === "string" ? value : Object.entries(value).map(([state, inner]) => `${state}.${leafOf(inner)}`)[0];

const runs = walks.map((walk) => {
  let [state] = initialTransition(machine);
  return walk.map((type) => {
    const [next, actions] = transition(machine, state, { type });
    state = next;
    return [leafOf(state.value), actions.map((action) => action.type)];
  });
});
process.stdout.write(JSON.stringify(runs));
