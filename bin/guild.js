#!/usr/bin/env node
// Plain JavaScript that an old Node can read: it says in one line what is missing, instead of a syntax error.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  console.error(
    `guild needs Node 24 or later, this is ${process.version}: run it through npm (npm start, npx guild), which brings Node 24 along.`,
  )
  process.exit(1)
}
// Compiled (and stripped) code is kept between starts: it halves the time to the first line.
const { enableCompileCache } = await import('node:module')
enableCompileCache()
// A clone runs from its sources; a published package from what was compiled (Node strips no types under node_modules).
const source = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
const compiled = new URL('../dist/cli/main.js', import.meta.url)
const entry =
  existsSync(source) && !source.includes('/node_modules/') ? new URL('../src/cli/main.ts', import.meta.url) : compiled
const { main } = await import(entry.href)
process.exitCode = await main(process.argv.slice(2))
