"use strict";
/* The live tail: puts what the server sends into the table. All of it is text; nothing is read as HTML. */
(() => {
  const root = document.getElementById("live");
  const body = root.querySelector("tbody");
  const state = document.getElementById("live-state");
  const button = document.getElementById("live-pause");
  const most = 200;
  let source = null;
  let count = 0;

  function cell(text, label, href) {
    const td = document.createElement("td");
    td.dataset.label = label;
    if (href) {
      const a = document.createElement("a");
      a.href = href;
      a.textContent = text;
      td.append(a);
    } else {
      const span = document.createElement("span");
      span.textContent = text;
      td.append(span);
    }
    return td;
  }

  function show(row) {
    const labels = JSON.parse(root.dataset.labels);
    const tr = document.createElement("tr");
    tr.className = "fresh";
    tr.append(
      cell(row.time, labels[0], "/attempts/" + encodeURIComponent(row.id)),
      cell(row.device, labels[1], row.known ? "/devices/" + encodeURIComponent(row.device) : null),
      cell(row.service, labels[2]),
      cell(row.name, labels[3]),
      cell(row.layer, labels[4]),
      cell(row.action, labels[5]),
      cell(String(row.count), labels[6]),
    );
    tr.lastChild.className = "number";
    body.prepend(tr);
    document.getElementById("live-none").hidden = true;
    while (body.rows.length > most) body.lastElementChild.remove();
    count += 1;
  }

  function say(key) {
    state.textContent = root.dataset[key].replace("{n}", String(count));
  }

  function open() {
    source = new EventSource(root.dataset.stream);
    source.onopen = () => say("on");
    source.onerror = () => say("lost");
    source.onmessage = (event) => { show(JSON.parse(event.data)); say("on"); };
    button.textContent = root.dataset.pause;
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    if (source) {
      source.close();
      source = null;
      button.textContent = root.dataset.resume;
      say("off");
    } else {
      open();
    }
  });
  open();
})();
