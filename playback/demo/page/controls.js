// What a person does: buttons, fields and keys become commands.

const KEYS = "[aria-keyshortcuts]";
const TYPING = "textarea, select, input:not([type=checkbox], [type=range], [type=file], [type=button])";

const byId = (id) => document.getElementById(id);
const numberOf = (input) => (input.value === "" || !input.checkValidity() ? null : input.valueAsNumber);

export class Controls {
  #connection;
  #problem;
  #onGesture;
  #onMicrophone;
  #stream = null; // the microphone's
  #isSwitching = false; // the microphone; a browser may ask for it, and take its time
  #limits = { text: 500, file: 10 * 2 ** 20 };

  // `problem` shows a text, `onGesture` is called where the browser lets sound begin, `onMicrophone` when it is switched
  // on or off.
  constructor(connection, { problem, onGesture, onMicrophone }) {
    this.#connection = connection;
    this.#problem = problem;
    this.#onGesture = onGesture;
    this.#onMicrophone = onMicrophone;
    this.#commands();
    this.#sound();
    this.#files();
    this.#voice();
    this.#keys();
    this.live(false);
  }

  // The settings of the offer.
  get settings() {
    return Object.fromEntries(new FormData(byId("settings")));
  }

  // Whether there is anybody to command.
  live(isLive) {
    for (const button of document.querySelectorAll("[data-live]")) button.disabled = !isLive;
  }

  // A new session knows nothing of what was set before.
  greet({ limits = this.#limits, settings = {} }) {
    this.#limits = limits;
    byId("text").maxLength = limits.text;
    const [size, unit] = limits.file < 2 ** 20 ? [limits.file / 2 ** 10, "kB"] : [limits.file / 2 ** 20, "MB"];
    byId("file-limit").textContent = `at most ${Number(size.toFixed(1))} ${unit}`;
    for (const [name, value] of Object.entries(settings)) {
      const field = byId("settings").elements[name];
      if (field) field.value = value;
    }
    if (byId("gain").valueAsNumber) this.#sendGain();
    if (this.#isPressed("background")) this.#sendBackground();
    if (this.#isPressed("microphone")) this.#sendBargeIn();
  }

  #send(command) {
    if (!this.#connection.send(command)) this.#problem("There is no connection: press Reconnect.");
  }

  #commands() {
    byId("say").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#say();
    });
    byId("text").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      byId("say").requestSubmit();
    });
    for (const button of document.querySelectorAll("[data-do]")) {
      button.addEventListener("click", () => this.#command(button));
    }
  }

  #say() {
    this.#onGesture();
    const text = byId("text").value.trim();
    if (text) this.#send({ do: "say", text, interruptible: byId("interruptible").checked });
    else this.#problem("There is nothing to say: type a sentence.");
  }

  #command({ dataset }) {
    this.#onGesture();
    const command = { do: dataset.do };
    const rewind = byId("rewind").value;
    if (command.do === "resume") {
      Object.assign(command, rewind === "word" ? { rewind: 0, to_word: true } : { rewind: Number(rewind), to_word: false });
    }
    if (command.do === "interrupt") Object.assign(command, { lock: "lock" in dataset, force: false });
    this.#send(command);
  }

  #sound() {
    byId("gain").addEventListener("input", () => {
      byId("gain-shown").value = `${byId("gain").value} dB`;
      this.#sendGain();
    });
    byId("background").addEventListener("click", () => {
      this.#onGesture();
      this.#press("background", !this.#isPressed("background"));
      this.#sendBackground();
    });
    for (const id of ["background-gain", "background-duck"]) {
      byId(id).addEventListener("change", () => this.#isPressed("background") && this.#sendBackground());
    }
  }

  #sendGain() {
    this.#send({ do: "gain", db: byId("gain").valueAsNumber });
  }

  #sendBackground() {
    const [gain, duck] = [byId("background-gain"), byId("background-duck")].map(numberOf);
    if (gain === null || duck === null) this.#problem("The background's loudness has to be a number within its limits.");
    else this.#send({ do: "background", on: this.#isPressed("background"), gain_db: gain, duck_db: duck });
  }

  #files() {
    const drop = byId("drop");
    byId("file").addEventListener("change", ({ target }) => {
      this.#sendFile(target.files[0]);
      target.value = ""; // the same file may be chosen again
    });
    for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
      // Anywhere on the page: a file that is dropped beside the field must not replace the page.
      document.addEventListener(name, (event) => {
        if (!event.dataTransfer.types.includes("Files")) return;
        event.preventDefault();
        drop.classList.toggle("over", name === "dragenter" || name === "dragover");
        if (name === "drop") this.#sendFile(event.dataTransfer.files[0]);
      });
    }
  }

  async #sendFile(file) {
    if (!file) return;
    this.#onGesture();
    if (file.size > this.#limits.file) {
      this.#problem(`${file.name} is too large: ${byId("file-limit").textContent}.`);
      return;
    }
    const bar = byId("sending");
    bar.hidden = false;
    try {
      await this.#connection.sendFile(file, byId("file-text").value.trim().slice(0, this.#limits.text), (done) => (bar.value = done));
    } catch (error) {
      this.#problem(`${file.name} was not sent: ${error.message}.`);
    }
    bar.hidden = true;
  }

  #voice() {
    byId("microphone").addEventListener("click", async () => {
      if (this.#isSwitching) return;
      this.#isSwitching = true;
      await this.#toggleMicrophone().finally(() => (this.#isSwitching = false));
    });
    byId("barge-in").addEventListener("change", () => this.#sendBargeIn());
    byId("barge-in").addEventListener("submit", (event) => event.preventDefault());
  }

  async #toggleMicrophone() {
    this.#onGesture();
    if (this.#stream) {
      this.#stream.getTracks().forEach((track) => track.stop());
      this.#stream = null;
      await this.#connection.useMicrophone(null);
      this.#press("microphone", false);
      this.#onMicrophone(false);
      return;
    }
    try {
      // Without echo cancellation the agent would hear, and interrupt, itself.
      this.#stream = await navigator.mediaDevices.getUserMedia({
        audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
      });
    } catch (error) {
      this.#problem(reasonOf(error));
      return;
    }
    await this.#connection.useMicrophone(this.#stream.getAudioTracks()[0]);
    this.#press("microphone", true);
    this.#onMicrophone(true);
    this.#sendBargeIn();
  }

  #sendBargeIn() {
    const { on, lock, mode, min_seconds, false_after_seconds } = byId("barge-in").elements;
    const [min, after] = [min_seconds, false_after_seconds].map(numberOf);
    if (min === null || after === null) {
      this.#problem("Both times have to be numbers of seconds from 0 to 5.");
      return;
    }
    this.#send({
      do: "barge_in",
      on: on.checked,
      mode: mode.value,
      min_seconds: min,
      false_after_seconds: after,
      lock: lock.checked,
    });
  }

  #keys() {
    const named = new Map([...document.querySelectorAll(KEYS)].map((part) => [part.getAttribute("aria-keyshortcuts"), part]));
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || event.isComposing) return;
      if (event.key === "Escape" && event.target.matches(TYPING)) event.target.blur();
      if (!byId("keys").checked || event.target.matches(TYPING)) return;
      const part = named.get((event.shiftKey ? "Shift+" : "") + event.key.toUpperCase());
      if (!part) return;
      event.preventDefault();
      if (part.matches(TYPING)) part.focus();
      else part.click();
    });
  }

  #isPressed(id) {
    return byId(id).getAttribute("aria-pressed") === "true";
  }

  #press(id, isPressed) {
    byId(id).setAttribute("aria-pressed", String(isPressed));
  }
}

function reasonOf(error) {
  if (error.name === "NotAllowedError") return "The microphone was denied: allow it in the browser's settings of this page.";
  if (error.name === "NotFoundError") return "There is no microphone.";
  if (!navigator.mediaDevices) return "Browsers allow the microphone only at localhost and over https.";
  return `The microphone can't be used: ${error.message}`;
}
