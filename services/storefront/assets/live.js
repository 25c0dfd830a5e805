// Shows the story of an order while it happens. Without this the page loads itself anew.
const story = document.getElementById("story");
const news = document.getElementById("news");
let source, last;

function follow() {
  source = new EventSource(story.dataset.live);
  source.addEventListener("story", (event) => {
    // The first one is what the page already shows.
    const isNew = last !== undefined && event.data !== last;
    last = event.data;
    const was = story.querySelector(".state")?.className;
    story.innerHTML = event.data;
    if (isNew) news.textContent = story.querySelector(".story li:last-child")?.textContent ?? "";
    // What became of the money stands beside the story.
    if (was && was !== story.querySelector(".state")?.className && story.querySelector(".state.cancelled")) location.reload();
  });
  source.addEventListener("end", () => source.close());
  // A browser does not ask again after a refusal; the page does, and finds out why.
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 10000);
  });
}

if (story?.dataset.live) {
  follow();
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) follow(); });
}
