// Curves: `data-chart="ID"` draws the JSON of that script element, `data-chart-from="URL"` fetches its points.
(() => {
  // Themes write colours as the browser's newest functions; the charts read only red, green and blue. One painted
  // pixel translates any of them.
  const pixel = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  const css = (name, otherwise) => {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.color = `var(${name}, ${otherwise})`;
    pixel.fillStyle = getComputedStyle(probe).color;
    probe.remove();
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillRect(0, 0, 1, 1);
    return [...pixel.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
  const colours = () => ({ text: css("--tblr-secondary", "#666677"), grid: css("--tblr-border-color", "#dddddd"), line: css("--paper", "#206bc4") });
  const rgba = ([red, green, blue], alpha = 1) => `rgba(${red}, ${green}, ${blue}, ${alpha})`;
  const dollars = (value) => `${value < 0 ? "-" : ""}$${Math.abs(value).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;

  const draw = (box) => {
    const chart = LightweightCharts.createChart(box, {
      autoSize: true,
      layout: { background: { color: "transparent" }, attributionLogo: true },
      rightPriceScale: { borderVisible: false },
      timeScale: { borderVisible: false, timeVisible: true, secondsVisible: false },
      localization: { priceFormatter: dollars },
      handleScroll: { vertTouchDrag: false },
    });
    const series = chart.addSeries(LightweightCharts.AreaSeries, { lineWidth: 2 });
    const paint = () => {
      const { text, grid, line } = colours();
      chart.applyOptions({ layout: { textColor: rgba(text) }, grid: { vertLines: { visible: false }, horzLines: { color: rgba(grid, 0.4) } } });
      series.applyOptions({ lineColor: rgba(line), topColor: rgba(line, 0.3), bottomColor: rgba(line, 0.02) });
    };
    paint();
    document.addEventListener("hub:theme", paint);
    return { chart, series };
  };

  // One point per second, ascending: the library refuses anything else.
  const clean = (points) => {
    const byTime = new Map(points.map(([time, value]) => [time, Number(value)]));
    return [...byTime].sort((a, b) => a[0] - b[0]).map(([time, value]) => ({ time, value }));
  };

  for (const box of document.querySelectorAll("[data-chart]")) {
    const { chart, series } = draw(box);
    series.setData(clean(JSON.parse(document.getElementById(box.dataset.chart).textContent)));
    chart.timeScale().fitContent();
  }

  for (const box of document.querySelectorAll("[data-chart-from]")) {
    const empty = box.querySelector(".chart-empty");
    let drawn = null;
    let range = box.dataset.range || "all";
    const load = async () => {
      const asked = range;
      const answer = await fetch(`${box.dataset.chartFrom}?range=${asked}`, { headers: { Accept: "application/json" } });
      if (!answer.ok || asked !== range) return;
      const points = clean((await answer.json()).points);
      if (empty) empty.hidden = points.length > 1;
      if (points.length < 2) { drawn?.series.setData([]); return; }
      if (empty) empty.style.display = "none";
      const fresh = drawn === null;
      drawn ??= draw(box);
      drawn.series.setData(points);
      if (fresh || drawn.range !== range) drawn.chart.timeScale().fitContent();
      drawn.range = range;
    };
    const safely = () => load().catch(() => { /* the next push tries again */ });
    for (const button of document.querySelectorAll("[data-range-button]")) button.addEventListener("click", () => {
      range = button.dataset.rangeButton;
      for (const other of document.querySelectorAll("[data-range-button]")) {
        other.classList.toggle("active", other === button);
        other.setAttribute("aria-pressed", String(other === button));
      }
      safely();
    });
    document.body.addEventListener("live:equity.point", safely);
    document.body.addEventListener("live:all", safely);
    safely();
  }
})();
