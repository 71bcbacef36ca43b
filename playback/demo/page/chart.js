// A statechart as a picture: the leaf in which the machine stands is lit, the edge that it took last is marked.

const still = matchMedia("(prefers-reduced-motion: reduce)");

export const stateOf = (leaf) => leaf.split(".")[0];
export const inWords = (name) => name.replaceAll("_", " ");

export class Chart {
  #pane;
  #parts;
  #leaf = null;
  #lit = null;
  #last = null;

  // `pane` holds the picture and scrolls; `name` gives the name by which the picture knows a leaf.
  constructor(pane, name = (leaf) => leaf) {
    this.#pane = pane;
    this.name = name;
    // The same ids are in every picture of the page, so each looks among its own.
    this.#parts = new Map([...pane.querySelectorAll("[id]")].map((part) => [part.id, part]));
    new ResizeObserver(() => this.#show("instant")).observe(pane);
  }

  stand(leaf) {
    this.#pane.dataset.state = stateOf(leaf);
    if (leaf === this.#leaf) return;
    this.#leaf = leaf;
    this.#lit?.classList.remove("lit");
    this.#lit = this.#parts.get(`leaf-${this.name(leaf)}`);
    this.#lit?.classList.add("lit");
    this.#show("smooth");
  }

  take(source, event, target) {
    const edge = this.#parts.get(`edge-${this.name(source)}-${event}-${this.name(target)}`);
    if (!edge) return; // one that stays where it is, or is only written into a box
    this.#last?.classList.remove("last", "fresh");
    this.#last = edge;
    edge.getBoundingClientRect(); // so that the glow of the same edge begins anew
    edge.classList.add("last", "fresh");
  }

  forget() {
    this.#last?.classList.remove("last", "fresh");
    this.#last = null;
  }

  // Where the picture is larger than its pane, bring what is lit into its middle.
  #show(behavior) {
    if (!this.#lit || !this.#pane.clientWidth) return;
    const pane = this.#pane.getBoundingClientRect();
    const lit = this.#lit.getBoundingClientRect();
    this.#pane.scrollBy({
      left: lit.left + lit.width / 2 - pane.left - pane.width / 2,
      top: lit.top + lit.height / 2 - pane.top - pane.height / 2,
      behavior: still.matches ? "instant" : behavior,
    });
  }
}
