// Reads a list of texts as JSON, each with the page it stands on or none, and writes what Node's
// parser of URLs (WHATWG) makes of each; null for those that it refuses.
const read = ([text, base]) => {
  try {
    const u = new URL(text, base ?? undefined);
    const { href, protocol, username, password, hostname, port, pathname, search, hash } = u;
    return { href, protocol, username, password, hostname, port, pathname, search, hash };
  } catch {
    return null;
  }
};
const chunks = [];
process.stdin.on("data", (chunk) => chunks.push(chunk));
process.stdin.on("end", () => {
  const texts = JSON.parse(Buffer.concat(chunks).toString("utf8"));
  process.stdout.write(JSON.stringify({ version: process.version, read: texts.map(read) }));
});
