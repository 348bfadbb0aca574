// One market: its socket says when the book or the tape changed, the parts of the page fetch themselves anew; the chart.
(() => {
  const head = document.querySelector("[data-market]");
  if (!head) return;
  const PER_KIND_MS = 500;
  const BACKOFF_MS = [500, 1000, 2000, 4000, 8000];
  const waiting = new Map();
  // Leading and trailing edge: the newest state is always fetched, however many changes there were.
  const soon = (kind) => {
    const slot = waiting.get(kind);
    if (slot) { slot.again = true; return; }
    const fresh = { again: false };
    waiting.set(kind, fresh);
    document.body.dispatchEvent(new CustomEvent(`live:${kind}`));
    setTimeout(() => { waiting.delete(kind); if (fresh.again) soon(kind); }, PER_KIND_MS);
  };
  let tries = 0;
  const connect = () => {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}${head.dataset.market}`);
    socket.addEventListener("open", () => socket.send(JSON.stringify({ type: "subscribe", tokens: head.dataset.tokens.split(","), channels: ["orderbook", "trades"] })));
    socket.addEventListener("message", (frame) => {
      tries = 0;
      const message = JSON.parse(frame.data);
      if (message.type === "orderbook") soon("book");
      if (message.type === "trades") { soon("tape"); soon("candle"); }
    });
    socket.addEventListener("close", (event) => {
      if (event.code === 4401) return;
      setTimeout(connect, BACKOFF_MS[Math.min(tries++, BACKOFF_MS.length - 1)] * (0.75 + Math.random() / 2));
    });
  };
  connect();

  const countdown = () => {
    for (const stamp of document.querySelectorAll("time[data-countdown]")) {
      const left = Math.max(0, Math.floor((Date.parse(stamp.dateTime) - Date.now()) / 1000));
      const days = Math.floor(left / 86400), hours = Math.floor(left / 3600) % 24, minutes = Math.floor(left / 60) % 60;
      const text = days ? `${days} d ${hours} h` : hours ? `${hours} h ${minutes} min` : `${minutes} min ${left % 60} s`;
      if (stamp.textContent !== text) stamp.textContent = text;
    }
  };
  setInterval(countdown, 1000);
  countdown();

  const box = document.querySelector("[data-candles]");
  if (!box) return;
  const pixel = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  const css = (name, otherwise) => {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.color = `var(${name}, ${otherwise})`;
    pixel.fillStyle = getComputedStyle(probe).color;
    probe.remove();
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillRect(0, 0, 1, 1);
    const [red, green, blue] = pixel.getImageData(0, 0, 1, 1).data;
    return (alpha = 1) => `rgba(${red}, ${green}, ${blue}, ${alpha})`;
  };
  let drawn = null;
  let range = "1d";
  const draw = () => {
    const chart = LightweightCharts.createChart(box, {
      autoSize: true,
      layout: { background: { color: "transparent" }, attributionLogo: true },
      rightPriceScale: { borderVisible: false },
      timeScale: { borderVisible: false, timeVisible: true, secondsVisible: false },
      localization: { priceFormatter: (value) => `${(value * 100).toFixed(1)}¢` },
      handleScroll: { vertTouchDrag: false },
    });
    const series = chart.addSeries(LightweightCharts.CandlestickSeries, { borderVisible: false, priceFormat: { type: "price", precision: 4, minMove: 0.0001 } });
    const volume = chart.addSeries(LightweightCharts.HistogramSeries, { priceScaleId: "", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false });
    volume.priceScale().applyOptions({ scaleMargins: { top: 0.85, bottom: 0 } });
    const paint = () => {
      const text = css("--tblr-secondary", "#666677"), grid = css("--tblr-border-color", "#dddddd"), up = css("--up", "#13795b"), down = css("--down", "#b4232c"), line = css("--paper", "#206bc4");
      chart.applyOptions({ layout: { textColor: text() }, grid: { vertLines: { visible: false }, horzLines: { color: grid(0.4) } } });
      // Hollow and filled as well as two colours: the direction is told without colour too.
      series.applyOptions({ upColor: "transparent", downColor: down(), wickUpColor: up(), wickDownColor: down(), borderVisible: true, borderUpColor: up(), borderDownColor: down() });
      volume.applyOptions({ color: line(0.35) });
    };
    paint();
    document.addEventListener("hub:theme", paint);
    return { chart, series, volume };
  };
  const load = async () => {
    const asked = range;
    const answer = await fetch(`${box.dataset.candles}&range=${asked}`, { headers: { Accept: "application/json" } });
    if (!answer.ok || asked !== range) return;
    const points = (await answer.json()).points;
    const empty = box.querySelector(".chart-empty");
    if (empty) empty.style.display = points.length ? "none" : "";
    if (!points.length) { drawn?.series.setData([]); drawn?.volume.setData([]); return; }
    const fresh = drawn === null;
    drawn ??= draw();
    drawn.series.setData(points.map(([time, open, high, low, close]) => ({ time, open: +open, high: +high, low: +low, close: +close })));
    drawn.volume.setData(points.map(([time, , , , , shares]) => ({ time, value: +shares })));
    if (fresh || drawn.range !== range) drawn.chart.timeScale().fitContent();
    drawn.range = range;
  };
  const safely = () => load().catch(() => { /* the next change tries again */ });
  for (const button of document.querySelectorAll("[data-market-range]")) button.addEventListener("click", () => {
    range = button.dataset.marketRange;
    for (const other of document.querySelectorAll("[data-market-range]")) {
      other.classList.toggle("active", other === button);
      other.setAttribute("aria-pressed", String(other === button));
    }
    safely();
  });
  document.body.addEventListener("live:candle", safely);
  setInterval(safely, 15000);
  safely();
})();
