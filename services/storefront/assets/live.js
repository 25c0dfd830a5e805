// Shows a part of the page while it changes: the story of an order, the running shop. Without this the page loads itself anew.
const part = document.querySelector("[data-live]");
const news = document.getElementById("news");
let source, last;
const refunds = () => part.querySelectorAll("[data-step='payment.refunded']").length;
// Asked for anew, never sent again: the page may be the answer to a form.
const load = () => location.replace(part.dataset.live.replace(/\/live$/, ""));

function follow() {
  source = new EventSource(part.dataset.live);
  source.addEventListener("part", (event) => {
    // The first one is what the page already shows.
    const isNew = last !== undefined && event.data !== last;
    last = event.data;
    const was = part.querySelector(".state")?.className;
    const before = refunds();
    part.innerHTML = event.data;
    if (isNew && news) news.textContent = part.querySelector(".story li:last-child")?.textContent ?? "";
    // What became of the money stands beside the story.
    const isCancelled = was && was !== part.querySelector(".state")?.className && part.querySelector(".state.cancelled");
    if (isCancelled || refunds() > before) load();
  });
  source.addEventListener("end", () => source.close());
  // A browser does not ask again after a refusal; the page does, and finds out why.
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(load, 10000);
  });
}

if (part) {
  follow();
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) follow(); });
}
