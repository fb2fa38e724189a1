/** Blobs by path (`logs/2026-11-22/inv_….json`). Writing the same path again replaces it whole; a reader never sees half a file. */
export interface Artifacts {
  write(path: string, content: string | Uint8Array): Promise<void>
  /** null: there is none */
  read(path: string): Promise<Uint8Array | null>
  /** Nothing happens when there is none. */
  remove(path: string): Promise<void>
  /** @returns files removed */
  removeOlderThan(prefix: string, date: Date): Promise<number>
}
