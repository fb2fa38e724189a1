import { spawnSync } from 'node:child_process'
import { mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'

const mebibytes = 256
const chunk = Buffer.alloc(1024 * 1024, 'x')

/** A disk of its own for the artifacts, so that it can be full: a tmpfs, where this user may mount one. */
export class SmallDisk implements AsyncDisposable {
  readonly folder: string
  readonly #mounted: boolean

  static async open(folder: string): Promise<SmallDisk> {
    await mkdir(folder, { recursive: true })
    const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', folder])
    return new SmallDisk(folder, mount.status === 0)
  }

  private constructor(folder: string, mounted: boolean) {
    this.folder = folder
    this.#mounted = mounted
  }

  /** Writes until there is no room. @returns what makes room again */
  get fill(): (() => Promise<() => Promise<void>>) | null {
    if (!this.#mounted) return null
    return async () => {
      const path = join(this.folder, 'full')
      const file = await open(path, 'w')
      try {
        for (let written = 0; written <= mebibytes; written += 1) await file.writeFile(chunk)
        throw new Error(`${this.folder} took more than its ${mebibytes} MiB`)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      } finally {
        await file.close()
      }
      return () => rm(path, { force: true })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#mounted) spawnSync('umount', ['--lazy', this.folder])
  }
}
