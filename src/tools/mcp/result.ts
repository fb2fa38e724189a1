import type { CallToolResult } from '@modelcontextprotocol/client'
import { integrities } from '../../kernel/event.ts'
import type { Integrity } from '../../kernel/event.ts'
import { resultBytesMax } from '../tools.ts'
import type { ToolResult } from '../tools.ts'
import { answerBytesMax } from './capped-fetch.ts'

/** `_meta` key by which a built-in server says whose words a result holds. */
export const integrityKey = 'guild/integrity'

/**
 * A server's answer → text for the model and data for templates; both within `resultBytesMax`.
 * @param declared what the connector says of its server's words; null: a server of ours, which says it of each result
 */
export function toolResult(result: CallToolResult, declared: Integrity | null): ToolResult {
  const structured = result.structuredContent
  const full = result.content.length > 0 ? result.content.map(textOf).join('\n') : JSON.stringify(structured ?? null)
  const bytes = Buffer.byteLength(full)
  const text = bytes > resultBytesMax ? cutText(full, bytes) : full
  const data = structured ?? (bytes > resultBytesMax ? null : parseJson(full))
  const dataTooLarge = structured !== undefined && Buffer.byteLength(JSON.stringify(structured)) > resultBytesMax
  return {
    isError: result.isError === true,
    text,
    data: dataTooLarge ? null : data,
    truncated: bytes > resultBytesMax || dataTooLarge,
    integrity: integrityOf(result, declared),
  }
}

/** Instead of an answer that was not read to its end. */
export function tooLargeResult(): ToolResult {
  return {
    isError: true,
    text: `The answer is larger than ${answerBytesMax / 1024 / 1024} MB and was not read. Ask for less.`,
    data: null,
    truncated: true,
    integrity: 'outsider',
  }
}

function textOf(block: CallToolResult['content'][number]): string {
  switch (block.type) {
    case 'text':
      return block.text
    case 'resource':
      return 'text' in block.resource ? block.resource.text : `[${block.resource.uri}, binary, not shown]`
    case 'resource_link':
      return `[${block.name}: ${block.uri}]`
    default:
      return `[${block.type}, ${block.mimeType}, not shown]`
  }
}

/** Whole characters only; the reader is told what is missing. */
function cutText(full: string, bytes: number): string {
  const note = `\n… cut: ${bytes} bytes, the first ${resultBytesMax} shown`
  const room = resultBytesMax - Buffer.byteLength(note)
  const decoder = new TextDecoder('utf-8')
  return decoder.decode(Buffer.from(full).subarray(0, room), { stream: true }) + note
}

/** Anybody's words may come through a server that is not ours, whatever it claims. */
function integrityOf(result: CallToolResult, declared: Integrity | null): Integrity {
  if (declared !== null) return declared
  const said = result._meta?.[integrityKey]
  return integrities.find((integrity) => integrity === said) ?? 'member'
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null // plain text, as most answers are
  }
}
