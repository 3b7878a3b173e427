// Recomputes the energies of the page from counts and prices, as neuro.chip.pricing, neuro.serving.duty and neuro.verdict do.
(() => {
  const data = JSON.parse(document.getElementById("live-data").textContent), room = document.getElementById("live");
  const input = name => room.querySelector(`[name=${name}]`);
  const at = name => input(name) ? Number(input(name).value) : null;
  const prefixes = {"-12": "p", "-9": "n", "-6": "µ", "-3": "m", "0": "", "3": "k", "6": "M", "9": "G", "12": "T"};
  const commas = text => { const [whole, rest] = text.split("."); return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (rest ? "." + rest : ""); };
  const digits = (value, n) => {
    if (value === 0) return "0";
    return commas(value.toFixed(Math.max(0, n - 1 - Math.floor(Math.log10(Math.abs(Number(value.toPrecision(n))))))));
  };
  const scaled = (value, exponent, unit) => {
    if (value === 0) return `0 ${unit}`;
    const size = Math.floor(Math.log10(Math.abs(Number(value.toPrecision(3))))) + exponent;
    const step = Math.min(Math.max(Math.floor(size / 3) * 3, -12), 12);
    return `${digits(value * 10 ** (exponent - step), 3)} ${prefixes[step]}${unit}`;
  };
  const times = ratio => ratio >= 10 ? commas(ratio.toFixed(0)) : digits(ratio, 2);
  const energyOf = pj => scaled(pj, -12, "J");

  const chipNow = () => {
    const chip = data.chip, now = at("window") === null ? chip.windows[chip.windows.length - 1] : chip.windows[at("window")];
    const factor = name => data.factors[at(name)];
    let dynamic = 0;
    for (const [part, terms] of chip.parts) {
      const scale = factor(data.groups[part] || "messages");
      let sum = 0, known = false;
      for (const [, price, counts] of terms) {
        let count = 0;
        for (let step = 0; step < now.steps; step++) count += counts[step];
        if (price !== null) { sum += price * scale * count; known = known || count > 0; }
      }
      if (known) dynamic += sum / chip.samples;
    }
    dynamic = factor("activity") === 1 ? dynamic : factor("activity") * dynamic;
    let total = dynamic, waiting = 0;
    for (const watts of [chip.static_w === null ? null : chip.static_w * factor("static") * chip.chips,
                         chip.management_w === null ? null : chip.management_w * factor("static")]) {
      if (watts === null) continue;
      total += watts * now.latency_ns * chip.pj_of_watt_ns;
      waiting += watts;
    }
    return {window: now, dynamic, total, waiting};
  };
  const power = (rate, interval, dynamicJ, waiting) => {
    const devices = Math.max(1, Math.ceil(rate * interval * (1 - 1e-12))), busy = rate * interval / devices;
    const working = rate * dynamicJ, waits = waiting[0] === waiting[1] ? 1 : 1 - busy;
    return waiting.map(watts => working + devices * watts * waits);
  };

  const put = (name, value, text) => {
    const place = room.querySelector(`[data-out=${name}]`);
    place.textContent = text;
    if (value !== null) place.dataset.value = value;
  };
  const sentence = (chip, rival, rate) => {
    const own = rate ? chip.power : [chip.total, chip.total], least = rate ? rival.power : [rival.energy, rival.energy];
    const write = rate ? watts => scaled(watts, 0, "W") : energyOf;
    const what = rate ? `at ${scaled(rate, 0, "/s")}, waiting included` : "total energy";
    const range = pair => pair[0] === pair[1] ? write(pair[0]) : `${write(pair[0])} to ${write(pair[1])}`;
    const against = `${range(rate || own[0] > least[1] ? least : own)} against ${range(rate || own[0] > least[1] ? own : least)}, ${what}`;
    const each = rate ? "" : rival.batch > 1 ? ` an inference at batch ${rival.batch}` : " for one inference";
    if (own[0] > least[1]) return `No: ${rival.name} needs ${times(own[0] / least[1])} times less${each} than ${data.chip.name} (${against}).`;
    if (own[1] <= least[0]) return `Yes: ${data.chip.name} needs ${times(least[0] / own[1])} times less${each} than ${rival.name} (${against}).`;
    return `Not known: what ${rival.name} draws while it waits is not public (${against}).`;
  };
  const show = () => {
    const chip = chipNow(), rate = data.rates[at("rate")], chosen = input("rival").value;
    chip.power = power(rate, chip.window.latency_ns * 1e-9, chip.dynamic * 1e-12, [chip.waiting, chip.waiting]);
    const rows = data.machines.map(machine => {
      const [batch, energy, latency] = machine.batches[at("batch")];
      const drawn = machine.waiting_w === null ? null : power(rate, machine.interval_s, machine.dynamic_j, machine.waiting_w);
      return {name: machine.name, batch, energy, latency, power: drawn};
    });
    const judged = rows.filter(row => !rate || row.power !== null), key = row => rate ? row.power[1] : row.energy;
    const rival = judged.find(row => row.name === chosen) || judged.reduce((best, row) => key(row) < key(best) ? row : best, judged[0]);
    put("verdict", null, sentence(chip, rival, rate));
    put("energy", chip.total, energyOf(chip.total));
    put("dynamic", chip.dynamic, `${energyOf(chip.dynamic)} dynamic`);
    put("latency", chip.window.latency_ns, scaled(chip.window.latency_ns, -9, "s"));
    put("accuracy", chip.window.accuracy, chip.window.accuracy === null ? "not known" : `${(100 * chip.window.accuracy).toFixed(1)} %`);
    put("power", rate ? chip.power[0] : 0, rate ? scaled(chip.power[0], 0, "W") : "-");
    put("rival", rate ? rival.power[1] : rival.energy, `${rival.name}, ${rate ? scaled(rival.power[1], 0, "W") + " at most" : energyOf(rival.energy)}`);
    const body = room.querySelector("tbody");
    body.replaceChildren(...[{name: data.chip.name, batch: 1, energy: chip.total, latency: chip.window.latency_ns, power: chip.power, own: true}, ...rows].map(row => {
      const line = document.createElement("tr"), ratio = row.energy / chip.total;
      if (row.own) line.className = "own";
      const watts = !rate ? "-" : row.power === null ? "not public" : [...new Set(row.power.map(w => scaled(w, 0, "W")))].join(" to ");
      for (const [text, value] of [[row.name], [energyOf(row.energy), row.energy], [`${times(ratio)}×`, ratio], [watts, row.power && row.power[1]], [String(row.batch)], [scaled(row.latency, -9, "s")]]) {
        const cell = document.createElement("td");
        cell.textContent = text;
        if (value !== undefined) { cell.dataset.value = value; cell.className = "n"; } else if (text !== row.name) cell.className = "n";
        line.append(cell);
      }
      return line;
    }));
    for (const name of ["activity", "synapse", "neuron", "messages", "static"]) room.querySelector(`[data-at=${name}]`).textContent = `${data.factors[at(name)]}×`;
    if (input("window")) room.querySelector("[data-at=window]").textContent = String(chip.window.T);
    room.querySelector("[data-at=batch]").textContent = String(rows[0].batch);
    room.querySelector("[data-at=rate]").textContent = rate ? scaled(rate, 0, "/s") : "one by itself";
  };
  room.hidden = false;
  room.addEventListener("input", show);
  room.addEventListener("reset", () => setTimeout(show));
  show();
})();
