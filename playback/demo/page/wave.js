// The sound as it is received, scrolling by, with its words above and a ribbon of the states beneath.

const WINDOW_SECONDS = 8; // at most; on a narrow screen it is less
const SECOND_PIXELS = 76; // at least
const COLUMNS_PER_SECOND = 100;
const COLUMNS = 1024; // more than a window's
const RIBBON = 22;
const WORD_ROW = 16;
const WORD_ROWS = 3;
const GAP = 6;
const QUIETEST = 0.05; // what is softer than this does not fill the height
const FRAME_MS = 33;
const CALM_FRAME_MS = 500;

const still = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");

export class Wave {
  #canvas;
  #context = null;
  #source = null;
  #analyser = null;
  #samples = null;
  #heard = 0; // samples of the context's clock that are in the columns
  #low = new Float32Array(COLUMNS);
  #high = new Float32Array(COLUMNS);
  #column = 0;
  #peak = QUIETEST;
  #states = [{ at: 0, state: "idle" }];
  #words = [];
  #rowEnds = new Array(WORD_ROWS).fill(0);
  #colours = {};
  #drawnAt = 0;

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.#resize()).observe(canvas);
    dark.addEventListener("change", () => this.#resize());
    this.#resize();
    requestAnimationFrame((now) => this.#frame(now));
  }

  // Listen to a stream. An element has to play it as well, or the browser does not decode it.
  listen(stream) {
    this.#context ??= new AudioContext();
    this.#analyser ??= new AnalyserNode(this.#context, { fftSize: 32768 });
    this.#samples ??= new Float32Array(this.#analyser.fftSize);
    this.#source?.disconnect();
    this.#source = this.#context.createMediaStreamSource(stream);
    this.#source.connect(this.#analyser);
  }

  // Browsers start no sound before the user has done something.
  async start() {
    if (this.#context?.state === "suspended") await this.#context.resume();
  }

  // From now on, what is heard is heard in this state.
  enter(state) {
    if (state !== this.#states.at(-1).state) this.#states.push({ at: this.#now, state });
  }

  // This word begins now.
  word(text) {
    const at = this.#now;
    const pen = this.#canvas.getContext("2d");
    pen.font = this.#font;
    // In the first row where there is room for it, or a little late in the one where there is room first.
    const free = this.#rowEnds.findIndex((end) => end <= at);
    const row = free < 0 ? this.#rowEnds.indexOf(Math.min(...this.#rowEnds)) : free;
    const from = Math.max(at, this.#rowEnds[row]);
    const until = from + (pen.measureText(text).width + GAP) / this.#perSecond;
    this.#rowEnds[row] = until;
    this.#words.push({ at, from, until, text, row });
  }

  get #now() {
    return this.#context?.currentTime ?? 0;
  }

  get #perSecond() {
    return Math.max(SECOND_PIXELS, this.#canvas.clientWidth / WINDOW_SECONDS);
  }

  get #font() {
    return `13px ${this.#colours.font}`;
  }

  #resize() {
    const style = getComputedStyle(this.#canvas);
    const names = ["ink", "faint", "line", "wave", "idle", "speaking", "paused", "interrupted", "input_locked", "closed"];
    this.#colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    this.#colours.font = style.fontFamily;
    this.#canvas.width = Math.round(this.#canvas.clientWidth * devicePixelRatio);
    this.#canvas.height = Math.round(this.#canvas.clientHeight * devicePixelRatio);
    this.#draw();
  }

  #frame(now) {
    requestAnimationFrame((next) => this.#frame(next));
    this.#take();
    if (now - this.#drawnAt < (still.matches ? CALM_FRAME_MS : FRAME_MS)) return;
    this.#drawnAt = now;
    this.#draw();
  }

  // Put the samples since the last time into columns.
  #take() {
    if (!this.#analyser) return;
    const rate = this.#context.sampleRate;
    const total = Math.round(this.#now * rate);
    const fresh = Math.min(total - this.#heard, this.#samples.length);
    if (fresh <= 0) return;
    this.#analyser.getFloatTimeDomainData(this.#samples);
    for (let back = fresh; back > 0; back--) {
      const sample = this.#samples[this.#samples.length - back];
      this.#enterColumn(Math.floor(((total - back) * COLUMNS_PER_SECOND) / rate));
      const slot = this.#column % COLUMNS;
      this.#low[slot] = Math.min(this.#low[slot], sample);
      this.#high[slot] = Math.max(this.#high[slot], sample);
    }
    this.#heard = total;
  }

  #enterColumn(column) {
    if (column === this.#column) return;
    // What was missed, while the page was hidden, stays empty.
    for (let empty = Math.max(this.#column + 1, column - COLUMNS + 1); empty <= column; empty++) {
      this.#low[empty % COLUMNS] = this.#high[empty % COLUMNS] = 0;
    }
    this.#column = column;
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (!width) return;
    const pen = this.#canvas.getContext("2d");
    pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const begin = this.#now - width / this.#perSecond;
    const top = WORD_ROWS * WORD_ROW + GAP;
    const bottom = height - RIBBON - GAP;
    const place = { begin, top, bottom, width, height };
    this.#drawStates(pen, place);
    this.#drawColumns(pen, place);
    this.#drawWords(pen, place);
  }

  #x(at, begin) {
    return (at - begin) * this.#perSecond;
  }

  #drawStates(pen, { begin, top, bottom, width, height }) {
    while (this.#states.length > 1 && this.#states[1].at <= begin) this.#states.shift();
    pen.font = `600 12px ${this.#colours.font}`;
    pen.textBaseline = "middle";
    this.#states.forEach(({ at, state }, index) => {
      const left = Math.max(0, this.#x(at, begin));
      const right = index + 1 < this.#states.length ? this.#x(this.#states[index + 1].at, begin) : width;
      if (right <= left) return;
      pen.fillStyle = this.#colours[state];
      pen.globalAlpha = 0.1;
      pen.fillRect(left, top, right - left, bottom - top);
      pen.globalAlpha = 1;
      pen.fillRect(left, height - RIBBON, right - left, RIBBON);
      if (at > begin) pen.fillRect(left, top, 1, bottom - top);
      const label = state.replaceAll("_", " ");
      if (pen.measureText(label).width + 2 * GAP <= right - left) {
        pen.fillStyle = state === "input_locked" || state === "closed" ? "#fff" : "#10151c";
        pen.fillText(label, left + GAP, height - RIBBON / 2 + 1);
      }
    });
  }

  #drawColumns(pen, { begin, top, bottom, width }) {
    const first = Math.max(0, Math.ceil(begin * COLUMNS_PER_SECOND), this.#column - COLUMNS + 1);
    let peak = QUIETEST;
    for (let column = first; column < this.#column; column++) {
      const slot = column % COLUMNS;
      peak = Math.max(peak, -this.#low[slot], this.#high[slot]);
    }
    // It becomes smaller at once, and larger slowly.
    this.#peak = Math.max(peak, this.#peak * 0.985);
    const middle = (top + bottom) / 2;
    const scale = (0.94 * (bottom - top)) / 2 / this.#peak;
    const step = this.#perSecond / COLUMNS_PER_SECOND;
    pen.fillStyle = this.#colours.line;
    pen.fillRect(0, middle - 0.5, width, 1);
    pen.fillStyle = this.#colours.wave;
    for (let column = first; column < this.#column; column++) {
      const slot = column % COLUMNS;
      const high = this.#high[slot] * scale;
      const low = this.#low[slot] * scale;
      if (high - low > 0.5) pen.fillRect(this.#x(column / COLUMNS_PER_SECOND, begin), middle - high, step + 0.3, high - low);
    }
  }

  #drawWords(pen, { begin, top }) {
    while (this.#words.length && this.#words[0].until <= begin) this.#words.shift();
    pen.font = this.#font;
    pen.textBaseline = "middle";
    pen.fillStyle = this.#colours.line;
    for (const { at, row } of this.#words) {
      pen.fillRect(this.#x(at, begin), (row + 0.95) * WORD_ROW, 1, top - (row + 0.95) * WORD_ROW);
    }
    for (const { from, until, text, row } of this.#words) {
      const [x, y] = [this.#x(from, begin), row * WORD_ROW];
      pen.clearRect(x - 1, y, this.#x(until, begin) - x, WORD_ROW); // the stems of others
      pen.fillStyle = this.#colours.ink;
      pen.fillText(text, x, y + WORD_ROW / 2);
    }
  }
}
