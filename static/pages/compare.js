/* Draws the tables of figures as bars. Every number is in the table; this only shows it once more. */
(() => {
  "use strict";

  const BAR_HEIGHT = 24;
  const TALL_BAR_HEIGHT = 36; // with a name of two lines
  const ROOM_FOR_AXIS = 28;
  const MOST_LABEL = 22; // characters of a line beside a bar
  const ACTIVE = "\u25cf"; // a shape as well as a filled bar
  const charts = [];

  // The tokens are light-dark() pairs: only a computed colour says which of the two holds now.
  const inks = () => {
    const probe = document.body.appendChild(document.createElement("span"));
    const read = (token) => {
      probe.style.color = `var(--${token})`;
      return getComputedStyle(probe).color;
    };
    const found = { ink: read("ink"), soft: read("ink-soft"), bar: read("rule-strong"), rule: read("rule") };
    probe.remove();
    return found;
  };

  const shortened = (number) => Intl.NumberFormat(document.documentElement.lang, { minimumSignificantDigits: 3, maximumSignificantDigits: 3 }).format(number);
  const fitting = (text) => (text.length > MOST_LABEL ? `${text.slice(0, MOST_LABEL - 1)}…` : text);

  // Names of bars: the model with its mark; where it has several versions, when each was trained below it.
  const names = (rows) => rows.map((row) => {
    const { model, trained } = row.dataset;
    const several = rows.filter((other) => other.dataset.model === model).length > 1;
    const name = fitting("active" in row.dataset ? `${ACTIVE} ${model}` : model);
    return several && trained ? [name, trained.slice(2)] : [name];
  });

  // The value at the end of each bar, and its interval as a line with ends.
  const direct = {
    id: "direct",
    afterDatasetsDraw(chart) {
      const { ctx, data, scales: { x } } = chart;
      const { values, colours } = data.datasets[0].own;
      const halfEnd = 4;
      ctx.save();
      ctx.font = `12px ${getComputedStyle(document.body).fontFamily}`;
      ctx.textBaseline = "middle";
      chart.getDatasetMeta(0).data.forEach((bar, place) => {
        const { value, low, high } = values[place];
        let end = bar.x;
        if (low !== null && high !== null) {
          ctx.strokeStyle = colours.ink;
          ctx.beginPath();
          ctx.moveTo(x.getPixelForValue(low), bar.y);
          ctx.lineTo(x.getPixelForValue(high), bar.y);
          for (const bound of [low, high]) {
            ctx.moveTo(x.getPixelForValue(bound), bar.y - halfEnd);
            ctx.lineTo(x.getPixelForValue(bound), bar.y + halfEnd);
          }
          ctx.stroke();
          end = Math.max(end, x.getPixelForValue(high));
        }
        ctx.fillStyle = colours.ink;
        ctx.fillText(shortened(value), end + 6, bar.y);
      });
      ctx.restore();
    },
  };

  const numberIn = (cell, name) => (cell?.dataset[name] ? Number(cell.dataset[name]) : null);

  const drawColumn = (table, box, heading, colours) => {
    // A bar for each row that has the figure: ranking models have no error of stars.
    const rows = [...table.tBodies[0].rows].filter((row) => numberIn(row.cells[heading.cellIndex], "value") !== null);
    if (!rows.length) return;
    const cells = rows.map((row) => row.cells[heading.cellIndex]);
    const values = cells.map((cell) => ({
      value: numberIn(cell, "value"), low: numberIn(cell, "low"), high: numberIn(cell, "high"),
    }));

    const figure = box.appendChild(document.createElement("figure"));
    figure.className = "chart";
    const caption = figure.appendChild(document.createElement("figcaption"));
    caption.textContent = heading.dataset.plot;
    const key = caption.appendChild(document.createElement("span"));
    key.textContent = ` ${ACTIVE} ${box.dataset.activeWord}`;
    const labels = names(rows);
    const barHeight = labels.some((lines) => lines.length > 1) ? TALL_BAR_HEIGHT : BAR_HEIGHT;
    const plot = figure.appendChild(document.createElement("div"));
    plot.className = "chart-plot";
    plot.style.height = `${rows.length * barHeight + ROOM_FOR_AXIS}px`;
    const canvas = plot.appendChild(document.createElement("canvas"));
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", heading.dataset.plotName);

    const highest = Math.max(...values.map(({ value, high }) => high ?? value));
    const active = rows.map((row) => "active" in row.dataset);
    charts.push(new window.Chart(canvas, {
      type: "bar",
      data: {
        labels,
        datasets: [{
          data: values.map(({ value }) => value),
          backgroundColor: active.map((is) => (is ? colours.soft : "transparent")),
          borderColor: active.map((is) => (is ? colours.soft : colours.bar)),
          borderWidth: 1,
          barThickness: 16,
          own: { values, colours },
        }],
      },
      options: {
        indexAxis: "y",
        responsive: true,
        maintainAspectRatio: false,
        animation: false,
        events: [], // nothing hides in a tooltip
        plugins: { legend: { display: false }, tooltip: { enabled: false } },
        scales: {
          x: {
            beginAtZero: true,
            suggestedMax: highest * 1.25, // room for the number beside the longest bar
            border: { display: false },
            grid: { color: colours.rule },
            ticks: { color: colours.soft, maxTicksLimit: 5, font: { size: 11 } },
          },
          y: {
            border: { color: colours.soft },
            grid: { display: false },
            ticks: { color: colours.ink, autoSkip: false, font: { size: 12 } },
          },
        },
      },
      plugins: [direct],
    }));
  };

  const draw = () => {
    while (charts.length) charts.pop().destroy();
    const colours = inks();
    window.Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    window.Chart.defaults.locale = document.documentElement.lang;
    for (const table of document.querySelectorAll("table[data-charts]")) {
      const box = document.getElementById(table.dataset.charts);
      box.replaceChildren();
      box.hidden = false; // shown first: a canvas takes its size from the page
      for (const heading of table.tHead.querySelectorAll("th[data-plot]")) drawColumn(table, box, heading, colours);
      box.hidden = box.childElementCount === 0;
    }
  };

  if (!window.Chart) return;
  draw();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
