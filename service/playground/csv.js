// Tables in CSV (RFC 4180).

/** @param {string} text @returns {string[][]} rows of fields; the delimiter is a comma, a semicolon or a tab */
export function parseCsv(text) {
  const [head = ""] = text.split(/\r?\n/, 1);
  const count = (/** @type {string} */ sign) => head.split(sign).length;
  const [delimiter] = [",", ";", "\t"].sort((a, b) => count(b) - count(a));
  const rows = [[""]];
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const sign = text[at];
    const row = rows[rows.length - 1];
    if (quoted && sign === '"' && text[at + 1] === '"') row[row.length - 1] += text[at++];
    else if (sign === '"' && (quoted || row[row.length - 1] === "")) quoted = !quoted;
    else if (quoted) row[row.length - 1] += sign;
    else if (sign === delimiter) row.push("");
    else if (sign === "\n") rows.push([""]);
    else if (sign !== "\r") row[row.length - 1] += sign;
  }
  return rows.filter((row) => row.length > 1 || row[0] !== "");
}

/** @param {string[][]} rows @returns {string} with the lines of a spreadsheet */
export const writeCsv = (rows) => rows.map((row) => row.map(field).join(",") + "\r\n").join("");

/** A field that a spreadsheet does not read as a formula. @param {string} value */
function field(value) {
  const safe = /^[=+@\t\r-]/.test(value) && !/^-?[\d.]+$/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
