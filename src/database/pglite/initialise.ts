import { LocalEngine } from './engine.ts'

// Makes a new database in the folder given, as a process of its own: initialising leaves 150 MB behind that a thread does not return.
const [, , folder] = process.argv
if (folder === undefined) throw new Error('initialise.ts takes a folder')

// The pipe is the leash: when the process that waits for this one dies, this one does too.
process.stdin.on('end', () => process.exit(1)).resume()

const engine = await LocalEngine.open({ folder }, () => undefined)
await engine.close()
process.exit(0)
