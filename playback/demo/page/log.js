// What was received, newest first.

const ROWS = 200;
const OWN = new Set(["is", "name", "position"]);

export class Log {
  #body;

  constructor(body) {
    this.#body = body;
  }

  // `seconds` is null for what has no place in the sound.
  add(seconds, name, details, kind = "") {
    const row = document.createElement("tr");
    row.dataset.kind = kind;
    for (const text of [seconds === null ? "" : seconds.toFixed(2), name, details]) {
      row.append(Object.assign(document.createElement("td"), { textContent: text }));
    }
    this.#body.prepend(row);
    if (this.#body.rows.length > ROWS) this.#body.lastElementChild.remove();
  }

  clear() {
    this.#body.replaceChildren();
  }
}

// The fields of an event in one line.
export function detailsOf(event) {
  if (event.name === "state_changed") return `${event.old_leaf} → ${event.new_leaf}`;
  if (event.name === "mark_reached") return String(event.payload);
  return Object.entries(event)
    .filter(([field, value]) => !OWN.has(field) && value !== null)
    .map(([field, value]) => {
      if (field === "report") return value.outcome;
      if (field === "utterance") return value;
      return `${field.replaceAll("_", " ")} ${typeof value === "number" ? Number(value.toFixed(3)) : value}`;
    })
    .join(" · ");
}
