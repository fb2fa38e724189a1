/** The connection is gone; whether the server did anything is unknown, so only a read may be repeated. */
export class ConnectionLost extends Error {}

export function isLost(error: unknown): error is ConnectionLost {
  return error instanceof ConnectionLost
}
