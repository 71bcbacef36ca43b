// Calls the agent over the WebSocket, and takes the call up again if the socket is cut.
//
// Behind "#" of the address may stand `token=…`, and `relay` to connect through TURN servers alone.

const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const given = new URLSearchParams(location.hash.slice(1));
const token = given.get("token") ?? undefined;
const RETRY_SECONDS = 0.5;
const MOST_ATTEMPTS = 20;

const show = (text) => {
  document.querySelector("#state").textContent = text;
};

/** The STUN and TURN servers that the server names in its headers. */
async function iceServers() {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const response = await fetch("whep", { method: "OPTIONS", headers });
  if (!response.ok) throw new Error((await response.json()).error);
  const links = (response.headers.get("link") ?? "").matchAll(/<([^>]*)>((?:;\s*[\w-]+="[^"]*")*)/g);
  return [...links].map(([, urls, parameters]) => {
    const values = Object.fromEntries([...parameters.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, name, value]) => [name, value]));
    return { urls, username: values.username, credential: values.credential };
  });
}

class Call {
  constructor() {
    this.over = false;
    this.key = null;
    this.attempts = 0;
    this.waiting = [];
  }

  async begin() {
    this.microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    const iceTransportPolicy = given.has("relay") ? "relay" : "all";
    this.peer = new RTCPeerConnection({ iceServers: await iceServers(), iceTransportPolicy });
    for (const track of this.microphone.getTracks()) this.peer.addTrack(track, this.microphone);
    this.channel = this.peer.createDataChannel("playback");
    this.peer.addEventListener("track", ({ track }) => {
      document.querySelector("#voice").srcObject = new MediaStream([track]);
    });
    this.peer.addEventListener("connectionstatechange", () => {
      if (!this.over) show(this.peer.connectionState);
      if (this.peer.connectionState === "failed") this.end("the connection has failed");
    });
    this.peer.addEventListener("icecandidate", ({ candidate }) => {
      this.send({ type: "candidate", ...(candidate?.toJSON() ?? { candidate: null }) });
    });
    await this.peer.setLocalDescription();
    this.open({ type: "offer", sdp: this.peer.localDescription.sdp });
  }

  open(first) {
    const address = new URL("ws", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    address.hash = "";
    this.socket = new WebSocket(address);
    this.socket.addEventListener("open", () => this.socket.send(JSON.stringify({ ...first, token })));
    this.socket.addEventListener("message", ({ data }) => this.take(JSON.parse(data)));
    this.socket.addEventListener("close", () => this.cut());
  }

  /** Candidates wait until the offer was answered, and while the socket is cut. */
  send(message) {
    if (this.ready) this.socket.send(JSON.stringify(message));
    else this.waiting.push(message);
  }

  async take(message) {
    switch (message.type) {
      case "answer":
        this.key = message.key;
        await this.peer.setRemoteDescription({ type: "answer", sdp: message.sdp });
        this.release();
        break;
      case "attached":
        this.attempts = 0;
        this.release();
        break;
      case "error":
        this.end(message.error);
        break;
      case "ended":
        this.end(`over: ${message.reason}`);
        break;
    }
  }

  release() {
    this.ready = true;
    for (const message of this.waiting.splice(0)) this.send(message);
  }

  async cut() {
    this.ready = false;
    if (this.over) return;
    if (this.key === null) {
      this.end("the server can't be reached");
      return;
    }
    this.attempts += 1;
    if (this.attempts > MOST_ATTEMPTS) {
      this.end("the server can't be reached");
      return;
    }
    await wait(RETRY_SECONDS);
    if (!this.over) this.open({ type: "attach", key: this.key });
  }

  hangUp() {
    this.send({ type: "bye" });
  }

  end(why) {
    if (this.over) return;
    this.over = true;
    show(why);
    for (const track of this.microphone?.getTracks() ?? []) track.stop();
    this.peer?.close();
    this.socket?.close();
    document.querySelector("#call").disabled = false;
    document.querySelector("#hang-up").disabled = true;
  }
}

let call = null;

document.querySelector("#call").addEventListener("click", async () => {
  call = new Call();
  window.call = call; // for whoever looks from the console
  document.querySelector("#call").disabled = true;
  document.querySelector("#hang-up").disabled = false;
  show("connecting");
  try {
    await call.begin();
  } catch (error) {
    call.end(`${error.message ?? error}`);
  }
});

document.querySelector("#hang-up").addEventListener("click", () => call?.hangUp());
