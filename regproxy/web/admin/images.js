const PAGE_SIZE = 25;
const listing = {search: "", offset: 0, found: 0, asked: 0, refusal: ""};

async function asked(path, method = "GET", body = undefined) {  // JSON, or an Error with what the server says
  const sent = body === undefined ? {} : {headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)};
  const answer = await fetch(path, {method, signal: AbortSignal.timeout(30000), ...sent});
  const said = answer.status === 204 ? {} : await answer.json();
  if (!answer.ok) throw Object.assign(new Error(said.error || `the server answered ${answer.status}`), {refused: answer.status === 401 || answer.status === 403});
  return said;
}

async function list() {
  const turn = ++listing.asked;
  try {
    const query = new URLSearchParams({search: listing.search, offset: listing.offset, limit: PAGE_SIZE});
    const page = await asked(`api/v1/store/page?${query}`);
    if (turn !== listing.asked) return;
    if (!page.images.length && listing.offset) {
      listing.offset = Math.max(0, PAGE_SIZE * Math.floor((page.found - 1) / PAGE_SIZE));
      return list();
    }
    show(page);
  } catch (error) {
    if (turn === listing.asked) say(`Images cannot be listed: ${error.message}`);
  }
}

function show(page) {
  const focused = document.activeElement && document.activeElement.dataset.key;
  listing.found = page.found;
  at("found").textContent = `${page.found.toLocaleString()} ${page.found === 1 ? "image" : "images"}${listing.search ? " found" : ""}`;
  const until = Math.min(page.found, page.offset + page.images.length);
  at("place").textContent = page.found ? `${(page.offset + 1).toLocaleString()} to ${until.toLocaleString()} of ${page.found.toLocaleString()}` : "";
  disable(at("previous"), page.offset ? "" : "This is the first page.");
  disable(at("next"), until < page.found ? "" : "This is the last page.");
  fill(at("images"), ["image", "platforms", "size", "pulls", "last pull", "state", "actions"], page.images.map(row),
    listing.search ? "No image matches." : "No images yet: pull one through regproxy.", [2, 3]);
  const again = focused && [...document.querySelectorAll("#images button")].find(each => each.dataset.key === focused);
  if (again) again.focus();
}

function row(image) {
  const tags = element("ul", "", "tags"), names = image.tags.length ? image.tags : image.names.map(name => ({name}));
  tags.append(...names.map(({name}) => element("li", name)));
  const shown = names.length > 4 ? folded(tags, names) : tags;
  const states = [[image.is_pinned, "pinned"], [image.is_frozen, "frozen"], [!image.is_frozen && image.tags.some(tag => tag.is_stale), "stale"]];
  const moment = element("time", image.used_at ? `${lasting(Math.max(0, Date.now() / 1000 - image.used_at))} ago` : "never");
  moment.dateTime = new Date(image.used_at * 1000).toISOString();
  moment.title = new Date(image.used_at * 1000).toLocaleString();
  const digest = element("code", `${image.digest.slice(0, 19)}…`);
  digest.title = image.digest;
  return [[shown, digest], image.platforms.join(", "), `${scaled(image.size, "B")}`, image.pulls.toLocaleString(), [moment],
    states.filter(([is]) => is).map(([, name]) => element("span", name, "badge")), actions(image)];
}

function folded(tags, names) {
  const details = element("details");
  details.append(element("summary", `${names[0].name} and ${names.length - 1} more`), tags);
  return details;
}

function actions(image) {
  const tag = image.tags.length ? image.tags[0].name : "", called = tag || image.names[0] || image.digest;
  const stays = image.is_pinned ? "It is pinned: unpin it first." : image.is_frozen ? "It is frozen: unfreeze it first." : "";
  const untagged = tag ? "" : "It has no tag.";
  return [
    action("Refresh", called, image, untagged || (image.is_frozen ? "It is frozen: upstream has no say in it." : ""), async () => {
      const results = [];
      for (const {name} of image.tags.slice(0, 10)) results.push(await asked("api/v1/refresh", "POST", {image: name}));
      return results.some(each => each.digest !== image.digest) ? `${called} has moved, and was fetched.` : `${called} still means the same.`;
    }),
    action(image.is_pinned ? "Unpin" : "Pin", called, image, "", async () => {
      await asked("api/v1/store/pin", "POST", {image: image.digest, pinned: !image.is_pinned});
      return image.is_pinned ? `${called} is no longer pinned.` : `${called} is pinned: it is never evicted.`;
    }, "pin"),
    action(image.is_frozen ? "Unfreeze" : "Freeze", called, image, untagged, async () => {
      if (image.is_frozen) await asked(`api/v1/freezes?${new URLSearchParams({pattern: tag})}`, "DELETE");
      else await asked("api/v1/freezes", "POST", {pattern: tag});
      return image.is_frozen ? `${tag} follows upstream again.` : `${tag} is frozen: it stays what it is, whatever upstream says.`;
    }, "freeze"),
    action("Remove", called, image, stays, () => remove(image, called)),
  ];
}

function action(label, called, image, reason, work, key = label) {
  const button = element("button", label, label === "Remove" ? "danger" : "");
  button.type = "button";
  button.dataset.key = `${key} ${image.digest}`;
  button.setAttribute("aria-label", `${label} ${called}`);
  disable(button, listing.refusal || reason);
  button.addEventListener("click", async () => {
    if (button.title) return say(button.title);
    say(`${label} ${called} ...`);
    try {
      const said = await work();
      say(said);
    } catch (error) {
      say(`${label} failed: ${error.message}`);
    }
    await list();
    if (document.activeElement === document.body) at("images-title").focus();
  });
  return button;
}

async function remove(image, called) {
  const {bytes} = await asked("api/v1/store/remove", "POST", {image: image.digest, dry_run: true});
  const dialog = at("confirm");
  at("confirm-text").textContent = `${called}${image.names.length > 1 ? ` and its ${image.names.length - 1} other names` : ""}: this frees ${scaled(bytes, "B")}. The next pull fetches it from upstream again.`;
  dialog.returnValue = "cancel";
  dialog.showModal();
  await new Promise(closed => dialog.addEventListener("close", closed, {once: true}));
  if (dialog.returnValue !== "remove") return `${called} was kept.`;
  const freed = await asked("api/v1/store/remove", "POST", {image: image.digest, dry_run: false});
  return `${called} was removed: ${scaled(freed.bytes, "B")} freed.`;
}

function disable(button, reason) {  // it can still be focused, and says why
  button.setAttribute("aria-disabled", String(Boolean(reason)));
  button.title = reason;
}

function say(text) {
  at("said").textContent = text;
}

async function allowed() {
  const access = await asked("api/v1/access");
  listing.refusal = access.may_change ? "" : `Changes are not allowed from here: ${access.reason}`;
  at("read-only").textContent = listing.refusal;
  at("read-only").hidden = access.may_change;
  document.querySelector("main").hidden = !access.may_read;
  at("sign-in").hidden = !access.takes_tokens || Boolean(access.name) || access.may_change;
  at("sign-out").hidden = !access.name;
  at("sign-out").textContent = `Sign out ${access.name}`;
}

async function session(method, body) {  // the cookie is read by no script, and so the token is kept nowhere
  try {
    await asked("api/v1/session", method, body);
    location.reload();
  } catch (error) {
    at("state").textContent = error.message;
  }
}

at("sign-in").addEventListener("submit", event => {
  event.preventDefault();
  session("POST", {token: at("token").value});
});
at("sign-out").addEventListener("click", () => session("DELETE"));

function turn(button, by) {
  button.addEventListener("click", () => {
    if (button.title) return say(button.title);
    listing.offset = Math.max(0, listing.offset + by);
    list();
  });
}

let typing = 0;
at("search").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    Object.assign(listing, {search: at("search").value, offset: 0});
    list();
  }, 200);
});
turn(at("previous"), -PAGE_SIZE);
turn(at("next"), PAGE_SIZE);
