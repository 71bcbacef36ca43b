// One session with the server: WebRTC for the sound of both sides, a data channel for commands and events. When its peer
// connection is lost, or the page is loaded again, another one takes the session up where the listener lost it.

const CHUNK_BYTES = 16 * 1024;
const HIGH_WATER = 256 * 1024; // of a file, not more than this waits in the data channel
const GATHERING_MS = 3000;
const STATS_MS = 500;
const PING_MS = 1000;
const PATIENCE_MS = 7000;
const RETRY_MS = 1000;
const LEVEL_SECONDS = 0.25; // how often the server says where it stands
const SESSION = "playback.session";
const TOKEN = "playback.token";

// Dispatches "status" {status, text}, "message" (what the server says), "stream" (its sound), "delay" (in seconds)
// and "problem" (a text); each as a CustomEvent's detail.
export class Connection extends EventTarget {
  #peer = null;
  #channel = null;
  #sender = null;
  #resource = null;
  #secret = null; // of the session
  #resumeSeconds = 0; // how long the server keeps a session whose page is lost
  #level = null; // where the server stood, and when that came
  #rate = 48000;
  #timers = [];
  #emitted = { delay: 0, count: 0 };
  #answeredAt = 0;
  #pings = 0;
  #microphone = null;
  #uploads = Promise.resolve();

  // From the jitter buffer to the ear, in seconds: how much later the sound is heard than an event arrives that was
  // sent together with it. Both have taken the same way through the network.
  delay = 0;

  get isOpen() {
    return this.#channel?.readyState === "open";
  }

  // Up to where the speech was heard, as a position of the server's; null if that is not known.
  get heard() {
    if (!this.#level) return null;
    const since = Math.min((performance.now() - this.#level.when) / 1000, LEVEL_SECONDS);
    return Math.max(0, Math.round(this.#level.position + this.#rate * (since - this.delay)));
  }

  // Take up the session that this tab had before it was loaded again, or begin one.
  async start(settings) {
    const kept = JSON.parse(sessionStorage.getItem(SESSION) ?? "null");
    sessionStorage.removeItem(SESSION); // a copy of this tab must not take it up, too
    if (kept && Date.now() < kept.until) {
      this.#take(kept);
      if (await this.#resume()) return;
      this.#resource = this.#secret = null;
      this.#emit("problem", "The session before was over: this is a new one.");
    }
    await this.open(settings);
  }

  async open(settings) {
    this.close();
    await this.#connect((peer) => this.#offer(peer, settings), { status: "connecting", text: "Connecting …" });
  }

  // The page goes away, and may come back: the server holds everything until then.
  leave() {
    if (this.#resource && this.#secret) {
      const kept = { resource: this.#resource, secret: this.#secret, heard: this.heard, resumeSeconds: this.#resumeSeconds };
      sessionStorage.setItem(SESSION, JSON.stringify({ ...kept, until: Date.now() + 1000 * this.#resumeSeconds }));
      const headers = { ...authorization(), "Playback-Secret": this.#secret };
      fetch(this.#own("/away"), { method: "POST", headers, keepalive: true }).catch(() => {});
      this.#resource = this.#secret = null;
    }
    this.close();
  }

  #take({ resource, secret, heard, resumeSeconds }) {
    this.#resource = new URL(resource);
    [this.#secret, this.#resumeSeconds] = [secret, resumeSeconds];
    this.#level = heard === null ? null : { position: heard, when: -Infinity };
    if (this.#level) this.#level.position -= LEVEL_SECONDS * this.#rate; // which `heard` adds
  }

  // A place beneath the session's, with how far it was heard.
  #own(path) {
    const heard = this.heard;
    return `${this.#resource}${path}${heard === null ? "" : `?heard=${heard}`}`;
  }

  // Take the session up with another peer connection; returns whether that was possible.
  async #resume() {
    const resource = this.#resource;
    const until = performance.now() + 1000 * this.#resumeSeconds + PATIENCE_MS;
    let over = false;
    const ask = async (peer) => {
      const headers = { "Content-Type": "application/sdp", ...authorization(), "Playback-Secret": this.#secret };
      const answer = await fetch(this.#own(""), { method: "POST", headers, body: peer.localDescription.sdp });
      const body = await answer.text();
      over = answer.status === 404 || answer.status === 503;
      if (!answer.ok) throw new Error(reasonOf(body) ?? `the server answered ${answer.status}`);
      return body;
    };
    while (resource === this.#resource && !over && performance.now() < until) {
      const begun = performance.now();
      const isAnswered = await this.#connect(ask, { status: "resuming", text: "Connection lost: resuming …" });
      if (isAnswered) return true;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS - (performance.now() - begun)));
    }
    return resource !== this.#resource; // somebody has begun another session meanwhile
  }

  // Make a peer connection, with an offer that `ask` gets answered. Returns whether it was; a session that can't be
  // taken up may be asked for again, so only one that can't be begun is a problem.
  async #connect(ask, status) {
    this.#peer?.close();
    this.#forget();
    this.#emit("status", status);
    const peer = new RTCPeerConnection();
    this.#peer = peer;
    this.#emitted = { delay: 0, count: 0 };
    try {
      this.#listen(peer);
      await peer.setLocalDescription();
      await gathered(peer);
      if (peer !== this.#peer) return false;
      const answer = await ask(peer);
      if (peer !== this.#peer) return false;
      await peer.setRemoteDescription({ type: "answer", sdp: answer });
      await this.#sender.replaceTrack(this.#microphone);
      return true;
    } catch (error) {
      if (peer !== this.#peer || status.status === "resuming") return false;
      this.#lost(`not connected: ${error.message}`);
      this.#emit("problem", error.message);
      return false;
    }
  }

  close() {
    const [peer, resource] = [this.#peer, this.#resource];
    this.#forget();
    if (!resource) {
      peer?.close();
      return;
    }
    // In this order: the server also ends a session whose connection was closed, and knows nothing of it afterwards.
    // When the page goes away, the request outlives it.
    this.#resource = this.#secret = this.#level = null;
    fetch(resource, { method: "DELETE", headers: authorization(), keepalive: true })
      .catch(() => {})
      .finally(() => peer?.close());
  }

  // Send a command; returns whether there was a connection to send it through.
  send(command) {
    if (!this.isOpen) return false;
    this.#channel.send(JSON.stringify(command));
    return true;
  }

  // Send a file, and what it says if that is known, after those that are being sent.
  sendFile(file, text, onProgress) {
    const sent = this.#uploads.then(() => this.#upload(file, text, onProgress));
    this.#uploads = sent.catch(() => {});
    return sent;
  }

  // Whom the server hears: a track, or nobody.
  async useMicrophone(track) {
    this.#microphone = track;
    await this.#sender?.replaceTrack(track);
  }

  #listen(peer) {
    this.#sender = peer.addTransceiver("audio", { direction: "sendrecv" }).sender;
    peer.addEventListener("track", ({ track }) => {
      if (peer === this.#peer) this.#emit("stream", new MediaStream([track]));
    });
    peer.addEventListener("connectionstatechange", () => {
      if (peer !== this.#peer) return;
      if (peer.connectionState === "failed") this.#dropped("the server is gone");
      if (peer.connectionState === "disconnected") {
        this.#emit("status", { status: "waiting", text: "The connection is interrupted …" });
      }
      if (peer.connectionState === "connected" && this.isOpen) this.#connected();
    });
    const channel = peer.createDataChannel("playback");
    this.#channel = channel;
    channel.bufferedAmountLowThreshold = HIGH_WATER / 2;
    channel.addEventListener("open", () => this.#opened(peer));
    channel.addEventListener("close", () => {
      if (peer !== this.#peer) return;
      this.#dropped("the server has closed the connection");
    });
    channel.addEventListener("message", ({ data }) => {
      if (peer !== this.#peer) return;
      this.#answeredAt = performance.now();
      const message = JSON.parse(data);
      this.#note(message);
      if (message.is !== "pong") this.#emit("message", message);
    });
  }

  async #offer(peer, settings) {
    const response = await fetch(`whep?${new URLSearchParams(settings)}`, {
      method: "POST",
      headers: { "Content-Type": "application/sdp", ...authorization() },
      body: peer.localDescription.sdp,
    }).catch(() => {
      throw new Error("the server can't be reached");
    });
    const body = await response.text();
    if (!response.ok) throw new Error(reasonOf(body) ?? `the server answered ${response.status}`);
    const resource = new URL(response.headers.get("Location"), response.url);
    if (peer === this.#peer) this.#resource = resource;
    else fetch(resource, { method: "DELETE", headers: authorization() }).catch(() => {});
    return body;
  }

  #opened(peer) {
    if (peer !== this.#peer) return; // one that is being ended
    this.#answeredAt = performance.now();
    this.#timers = [
      setInterval(() => this.#ping(), PING_MS),
      setInterval(() => this.#measure(peer).catch(() => {}), STATS_MS),
    ];
    this.#connected();
  }

  #connected() {
    this.#emit("status", { status: "connected", text: "Connected" });
  }

  #note(message) {
    if (message.is === "level") this.#level = { position: message.position, when: performance.now() };
    if (message.is === "over") this.#resource = this.#secret = null; // the session can't be taken up any more
    if (message.is === "hello") {
      [this.#secret, this.#resumeSeconds, this.#rate] = [message.secret, message.resume_seconds, message.sample_rate];
      if (message.resumed) this.#emit("status", { status: "connected", text: "Connected again: resumed" });
    }
  }

  #ping() {
    this.#pings += 1;
    const heard = this.heard;
    this.send({ do: "ping", n: this.#pings, ...(heard === null ? {} : { heard }) });
    if (performance.now() - this.#answeredAt > PATIENCE_MS) this.#dropped("the server does not answer");
  }

  async #measure(peer) {
    for (const report of (await peer.getStats()).values()) {
      if (report.type !== "inbound-rtp") continue;
      const now = { delay: report.jitterBufferDelay ?? 0, count: report.jitterBufferEmittedCount ?? 0 };
      const count = now.count - this.#emitted.count;
      if (count > 0) {
        this.delay = (now.delay - this.#emitted.delay) / count;
        this.#emit("delay", this.delay);
      }
      this.#emitted = now;
    }
  }

  async #upload(file, text, onProgress) {
    const bytes = await file.arrayBuffer();
    const channel = this.#channel;
    if (!this.send({ do: "file", name: file.name, bytes: bytes.byteLength, text })) throw new Error("not connected");
    for (let at = 0; at < bytes.byteLength; at += CHUNK_BYTES) {
      if (channel.bufferedAmount > HIGH_WATER) await emptied(channel);
      if (channel.readyState !== "open") throw new Error("the connection was lost while the file was sent");
      channel.send(bytes.slice(at, at + CHUNK_BYTES));
      onProgress(Math.min(1, (at + CHUNK_BYTES) / bytes.byteLength));
    }
  }

  // The peer connection is lost; the session may not be.
  async #dropped(text) {
    if (!this.#resource || !this.#secret || !this.#resumeSeconds) {
      this.#resource = this.#secret = null;
      this.#lost(text);
    } else if (!(await this.#resume())) {
      this.#resource = this.#secret = null;
      this.#lost(`${text}, and the session is over`);
    }
  }

  #lost(text) {
    this.#peer?.close();
    this.#forget();
    this.#emit("status", { status: "lost", text: text[0].toUpperCase() + text.slice(1) });
  }

  #forget() {
    this.#timers.forEach(clearInterval);
    this.#timers = [];
    this.#peer = this.#channel = this.#sender = null;
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

// The server's token stands in the page's address, which no request carries. It is kept: links within the page change it.
function authorization() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) sessionStorage.setItem(TOKEN, given);
  const token = sessionStorage.getItem(TOKEN);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

// The offer has to hold all candidates: nothing is sent later.
function gathered(peer) {
  return new Promise((resolve) => {
    const look = () => peer.iceGatheringState === "complete" && resolve();
    peer.addEventListener("icegatheringstatechange", look);
    setTimeout(resolve, GATHERING_MS);
    look();
  });
}

function emptied(channel) {
  return new Promise((resolve) => {
    for (const name of ["bufferedamountlow", "close"]) channel.addEventListener(name, resolve, { once: true });
  });
}

function reasonOf(body) {
  try {
    return JSON.parse(body).error;
  } catch {
    return undefined;
  }
}
