// Runs programs as they are printed: reads a JSON array of sources, writes a JSON array of what each printed.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

let input = "";
for await (const chunk of process.stdin) input += chunk;

// Beside node_modules, so that imports find the packages.
const folder = await mkdtemp(path.join(path.dirname(fileURLToPath(import.meta.url)), "run-"));
const results = [];
const print = console.log;
for (const [number, source] of JSON.parse(input).entries()) {
  const file = path.join(folder, `${number}.mjs`);
  await writeFile(file, source);
  let printed = "";
  console.log = (...words) => { printed += `${words.join(" ")}\n`; };
  try {
    await import(pathToFileURL(file).href);
  } catch (error) {
    printed = `failed: ${error.message}`;
  }
  results.push(printed);
}
console.log = print;
await rm(folder, { recursive: true });
process.stdout.write(JSON.stringify(results));
