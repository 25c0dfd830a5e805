// Shows a part of the page while it changes: the story of an order, the running shop. Without this the page loads itself anew.
const part = document.querySelector("[data-live]");
const news = document.getElementById("news");
let source, last;

function follow() {
  source = new EventSource(part.dataset.live);
  source.addEventListener("part", (event) => {
    // The first one is what the page already shows.
    const isNew = last !== undefined && event.data !== last;
    last = event.data;
    const was = part.querySelector(".state")?.className;
    part.innerHTML = event.data;
    if (isNew && news) news.textContent = part.querySelector(".story li:last-child")?.textContent ?? "";
    // What became of the money stands beside the story.
    if (was && was !== part.querySelector(".state")?.className && part.querySelector(".state.cancelled")) location.reload();
  });
  source.addEventListener("end", () => source.close());
  // A browser does not ask again after a refusal; the page does, and finds out why.
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 10000);
  });
}

if (part) {
  follow();
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) follow(); });
}
