const MEMBERS_SHOWN = 50;  // ourselves, and those first that are not healthy

const isFleet = () => !at("fleet").hidden;

function fleet({fleet: found, object_store: behind}) {
  at("fleet").hidden = !found;
  at("object-store").hidden = !behind;
  if (found) members(found);
  if (!behind) return;
  state(at("behind-state"), behind.trouble === null ? "works" : `takes nothing: ${behind.trouble}`, behind.trouble !== null);
  at("behind-waits").textContent = `${behind.place}; ${behind.pending.toLocaleString()} entries wait to be written, ${scaled(behind.pending_bytes, "B")}`;
}

function members(found) {
  const counts = Object.entries(found.counts).filter(([, count]) => count), all = counts.reduce((sum, [, count]) => sum + count, 0);
  const told = counts.map(([health, count]) => `${count.toLocaleString()} ${health}`).join(", ");
  const trouble = found.trouble === null ? "" : `; peers, ${[found.peers].flat().join(", ")}: ${found.trouble}`;
  state(at("fleet-state"), told + trouble, Boolean(trouble) || Boolean(found.counts.unreachable || found.counts.suspected));
  at("pieces").textContent = `piece cache ${scaled(found.piece_cache.bytes, "B")} of ${scaled(found.piece_cache.limit, "B")}`;
  fill(at("members"), ["member", "zone", "health", "share of pieces", "received from it", "sent to it", "asked"], found.members.map(member), "Nobody.", [3, 4, 5]);
  at("more-members").hidden = all <= found.members.length;
  at("more-members").textContent = `and ${(all - found.members.length).toLocaleString()} more, which are not worse`;
}

function member(each) {
  const address = element("span", each.address.replace(/^https?:\/\//, "")), isWell = each.reason === null;
  const checked = each.checked_at === null ? "" : `${lasting(Math.max(0, Date.now() / 1000 - each.checked_at))} ago`;
  return [each.is_us ? [address, " ", element("span", "this one", "badge")] : address, each.zone ?? "", element("span", isWell ? each.health : `${each.health}: ${each.reason}`, isWell ? "" : "bad"),
    `${trimmed(100 * each.share)} %`, ...each.is_us ? ["", ""] : [scaled(each.received_bytes, "B"), scaled(each.sent_bytes, "B")], checked];
}

function state(part, text, isBad) {  // said aloud when it changes, and only then
  if (part.textContent !== text) part.textContent = text;
  part.className = isBad ? "bad" : "soft";
}
