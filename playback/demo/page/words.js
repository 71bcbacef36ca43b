// The utterances, newest first: each word lights up as it is heard, and what was never heard is struck through.

const KEPT = 20;

export class Words {
  #list;
  #hint;
  #utterances = new Map();

  constructor(list, hint) {
    this.#list = list;
    this.#hint = hint;
  }

  // An utterance, or what has become known of it since.
  know({ utterance: id, text, words = [], reached = 0, interruptible = true }) {
    const isNew = !this.#utterances.has(id);
    const known = this.#utterances.get(id) ?? this.#add(id);
    if (isNew) known.reached = reached; // of one that this page has not seen before
    known.text = text || words.map(({ word }) => word).join(" ") || "a sound";
    known.pieces = piecesOf(known.text, words);
    known.card.classList.toggle("firm", !interruptible);
    this.#write(known);
  }

  // A word of it begins to sound. Marks come in the order of the words, each once.
  reach(id) {
    const known = this.#utterances.get(id);
    if (!known) return;
    known.reached += 1;
    this.#colour(known);
  }

  finish(id, report) {
    const known = this.#utterances.get(id);
    if (!known) return;
    known.report = report;
    this.#write(known);
  }

  // What was not finished when its connection ended never will be.
  abandon() {
    for (const [id, { report }] of this.#utterances) {
      if (!report) this.finish(id, { outcome: "lost with the connection", heard: null });
    }
    this.#utterances.clear();
  }

  #add(id) {
    const card = document.createElement("article");
    const known = { card, text: "", pieces: [], spans: [], reached: 0, report: null };
    this.#utterances.set(id, known);
    if (this.#utterances.size > KEPT) this.#utterances.delete(this.#utterances.keys().next().value);
    this.#hint.hidden = true;
    this.#list.prepend(card);
    if (this.#list.querySelectorAll("article").length > KEPT) this.#list.querySelector("article:last-of-type").remove();
    this.#list.scrollTop = 0;
    return known;
  }

  #write(known) {
    const spoken = document.createElement("p");
    spoken.className = "spoken";
    known.spans = known.pieces.map(({ text, end, gap }) => {
      // The report's text is the beginning of what was to be said.
      const lost = known.report && known.report.outcome !== "completed" && end > (known.report.heard ?? "").length;
      const span = document.createElement(lost ? "del" : "span");
      span.textContent = text;
      spoken.append(span, gap);
      return span;
    });
    known.card.replaceChildren(spoken);
    if (known.report) known.card.append(outcomeOf(known.report));
    this.#colour(known);
  }

  #colour({ spans, pieces, reached, report, card }) {
    card.dataset.outcome = report?.outcome ?? "";
    spans.forEach((span, index) => {
      const heard = report ? span.tagName !== "DEL" : index < reached - 1;
      span.classList.toggle("heard", heard);
      span.classList.toggle("now", !report && pieces[index].isWord && index === reached - 1);
    });
  }
}

// A text cut before each word that was found in it: what to show, where the word ends, and the space after it.
function piecesOf(text, words) {
  let end = 0;
  const places = words.map(({ word }) => {
    const at = text.indexOf(word, end);
    if (at >= 0) end = at + word.length;
    return { at, end };
  });
  let cut = 0;
  const pieces = places.map(({ at, end }, index) => {
    if (at < 0) return { text: "", end, gap: "", isWord: true }; // spelled otherwise; but it has its mark
    const next = places.slice(index + 1).find((place) => place.at >= 0);
    const whole = text.slice(cut, next?.at ?? end + text.slice(end).match(/^\S*/)[0].length);
    const shown = whole.trimEnd();
    cut += whole.length;
    return { text: shown, end, gap: whole.slice(shown.length), isWord: true };
  });
  if (cut < text.length) pieces.push({ text: text.slice(cut), end: text.trimEnd().length, gap: "", isWord: false });
  return pieces;
}

function outcomeOf({ outcome, heard }) {
  const line = document.createElement("p");
  line.className = "outcome";
  const badge = document.createElement("b");
  badge.textContent = outcome;
  const label = document.createElement("span");
  const quote = document.createElement("q");
  quote.textContent = heard ?? "";
  label.textContent = heard ? "into the history goes" : "nothing goes into the history";
  line.append(badge, " ", label, " ", ...(heard ? [quote] : []));
  return line;
}
