// One WebSocket for everything that changes. Events say what changed; the parts of the page that care fetch themselves
// anew. After a gap the server sends a snapshot, and every part is fetched.
(() => {
  const address = document.body.dataset.live;
  if (!address) return;
  const BACKOFF_MS = [500, 1000, 2000, 4000, 8000, 15000];
  const PER_TOPIC_MS = 700;
  const SILENT_MS = 45000;
  let seq = null;
  let tries = 0;
  let socket = null;
  let heardAt = Date.now();
  const waiting = new Map();

  const tell = (topic, detail) => document.body.dispatchEvent(new CustomEvent(`live:${topic}`, { detail }));

  // Leading and trailing edge: the last change of a burst is never lost.
  const soon = (topic, detail) => {
    const slot = waiting.get(topic);
    if (slot) { slot.again = true; slot.detail = detail; return; }
    const fresh = { again: false, detail };
    waiting.set(topic, fresh);
    tell(topic, detail);
    setTimeout(() => { waiting.delete(topic); if (fresh.again) soon(topic, fresh.detail); }, PER_TOPIC_MS);
  };

  const state = (tone, words) => {
    document.body.dataset.socketTone = tone;
    document.body.dataset.socketWords = words;
    paint();
  };
  const paint = () => {
    const box = document.querySelector("[data-live-state]");
    if (!box) return;
    box.querySelector(".status-dot").className = `status-dot bg-${document.body.dataset.socketTone || "secondary"}`;
    box.querySelector("[data-live-word]").textContent = document.body.dataset.socketWords || "Live updates: connecting";
  };
  document.addEventListener("htmx:afterSwap", paint);

  const handle = {
    snapshot(message) {
      const first = seq === null;
      seq = message.seq;
      state("success", "Live updates on");
      if (!first) soon("all", message);
    },
    event(message) {
      seq = message.seq;
      document.body.dispatchEvent(new CustomEvent("live:event", { detail: message }));
      soon(message.topic, message.payload);
    },
    resumed() {
      // Back after the database was away, or after a gap of ours.
      state("success", "Live updates on");
      soon("service.changed", null);
    },
    error(message) {
      if (message.code !== "UNAVAILABLE") return;
      state("warning", "Live updates: the database is away");
      soon("service.changed", message);
    },
    services(message) { soon("service.changed", message); },
  };

  const connect = () => {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(`${scheme}//${location.host}${address}`);
    socket.addEventListener("open", () => socket.send(JSON.stringify({ type: "hello", after: seq })));
    socket.addEventListener("message", (frame) => {
      heardAt = Date.now();
      tries = 0;
      const message = JSON.parse(frame.data);
      handle[message.type]?.(message);
    });
    socket.addEventListener("close", (event) => {
      if (event.code === 4401) { state("warning", "Signed out"); return; }
      const full = event.code === 4429;
      if (full) tries = BACKOFF_MS.length;
      const wait = BACKOFF_MS[Math.min(tries++, BACKOFF_MS.length - 1)];
      state("warning", full ? "Live updates off: too many open windows" : "Live updates: reconnecting");
      setTimeout(connect, wait * (0.75 + Math.random() / 2));
    });
  };

  // A socket that died without saying so.
  setInterval(() => {
    if (socket?.readyState === WebSocket.OPEN && Date.now() - heardAt > SILENT_MS) { heardAt = Date.now(); socket.close(); }
  }, 5000);
  window.hubLive = { get seq() { return seq; } };
  connect();
})();
