// One session with the server: WebRTC for the sound of both sides, a data channel for commands and events.

const CHUNK_BYTES = 16 * 1024;
const HIGH_WATER = 256 * 1024; // of a file, not more than this waits in the data channel
const GATHERING_MS = 3000;
const STATS_MS = 500;
const PING_MS = 2000;
const PATIENCE_MS = 7000;
const TOKEN = "playback.token";

// Dispatches "status" {status, text}, "message" (what the server says), "stream" (its sound), "delay" (in seconds)
// and "problem" (a text); each as a CustomEvent's detail.
export class Connection extends EventTarget {
  #peer = null;
  #channel = null;
  #sender = null;
  #resource = null;
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

  async open(settings) {
    this.close();
    this.#tell("status", { status: "connecting", text: "Connecting …" });
    const peer = new RTCPeerConnection();
    this.#peer = peer;
    this.#emitted = { delay: 0, count: 0 };
    try {
      this.#listen(peer);
      await peer.setLocalDescription();
      await gathered(peer);
      if (peer !== this.#peer) return;
      const answer = await this.#offer(peer, settings);
      if (peer !== this.#peer) return;
      await peer.setRemoteDescription({ type: "answer", sdp: answer });
      await this.#sender.replaceTrack(this.#microphone);
    } catch (error) {
      if (peer !== this.#peer) return;
      this.#lost(`not connected: ${error.message}`);
      this.#tell("problem", error.message);
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
    this.#resource = null;
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

  // Send a file, after those that are being sent.
  sendFile(file, onProgress) {
    const sent = this.#uploads.then(() => this.#upload(file, onProgress));
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
      if (peer === this.#peer) this.#tell("stream", new MediaStream([track]));
    });
    peer.addEventListener("connectionstatechange", () => {
      if (peer !== this.#peer) return;
      if (peer.connectionState === "failed") this.#lost("the server is gone");
      if (peer.connectionState === "disconnected") {
        this.#tell("status", { status: "waiting", text: "The connection is interrupted …" });
      }
      if (peer.connectionState === "connected" && this.isOpen) this.#connected();
    });
    const channel = peer.createDataChannel("playback");
    this.#channel = channel;
    channel.bufferedAmountLowThreshold = HIGH_WATER / 2;
    channel.addEventListener("open", () => this.#opened(peer));
    channel.addEventListener("close", () => {
      if (peer !== this.#peer) return;
      this.#resource = null; // the session is over
      this.#lost("the server has closed the connection");
    });
    channel.addEventListener("message", ({ data }) => {
      if (peer !== this.#peer) return;
      this.#answeredAt = performance.now();
      const message = JSON.parse(data);
      if (message.is !== "pong") this.#tell("message", message);
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
    this.#tell("status", { status: "connected", text: "Connected" });
  }

  #ping() {
    this.#pings += 1;
    this.send({ do: "ping", n: this.#pings });
    if (performance.now() - this.#answeredAt > PATIENCE_MS) this.#lost("the server does not answer");
  }

  async #measure(peer) {
    for (const report of (await peer.getStats()).values()) {
      if (report.type !== "inbound-rtp") continue;
      const now = { delay: report.jitterBufferDelay ?? 0, count: report.jitterBufferEmittedCount ?? 0 };
      const count = now.count - this.#emitted.count;
      if (count > 0) {
        this.delay = (now.delay - this.#emitted.delay) / count;
        this.#tell("delay", this.delay);
      }
      this.#emitted = now;
    }
  }

  async #upload(file, onProgress) {
    const bytes = await file.arrayBuffer();
    const channel = this.#channel;
    if (!this.send({ do: "file", name: file.name, bytes: bytes.byteLength })) throw new Error("not connected");
    for (let at = 0; at < bytes.byteLength; at += CHUNK_BYTES) {
      if (channel.bufferedAmount > HIGH_WATER) await emptied(channel);
      if (channel.readyState !== "open") throw new Error("the connection was lost while the file was sent");
      channel.send(bytes.slice(at, at + CHUNK_BYTES));
      onProgress(Math.min(1, (at + CHUNK_BYTES) / bytes.byteLength));
    }
  }

  #lost(text) {
    this.#peer.close();
    this.#forget();
    this.#tell("status", { status: "lost", text: text[0].toUpperCase() + text.slice(1) });
  }

  #forget() {
    this.#timers.forEach(clearInterval);
    this.#timers = [];
    this.#peer = this.#channel = this.#sender = null;
  }

  #tell(name, detail) {
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
