// Shows the story of an order while it happens. Without this the page loads itself anew.
const story = document.getElementById("story");
if (story?.dataset.live) {
  const source = new EventSource(story.dataset.live);
  source.addEventListener("story", (event) => { story.innerHTML = event.data; });
  source.addEventListener("end", () => source.close());
  addEventListener("pagehide", () => source.close());
}
