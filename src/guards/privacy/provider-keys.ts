import { type Detector, type Finding, matchesOf } from './finding.ts'

interface Shape {
  readonly kind: string
  /** two characters at least; one of these is in every text that can match */
  readonly anchors: readonly string[]
  /** Bounded repetitions only. The least length is below the vendor's: a key that lost its end is still most of a key. */
  readonly pattern: RegExp
}

/** A character that ends nothing by itself: part of a word, unless it is the letter of an escape such as \n in quoted JSON. */
const notInWord = String.raw`(?<!(?<!\\)[A-Za-z0-9_])`

/** Keys that say by their shape whose they are. Prefixes as the vendors document them for secret scanning. */
export const keyShapes: readonly Shape[] = [
  {
    kind: 'github-token',
    anchors: ['ghp_', 'gho_', 'ghu_', 'ghs_', 'ghr_'],
    pattern: /gh[pousr]_[A-Za-z0-9]{16,255}/g,
  },
  { kind: 'github-token', anchors: ['github_pat_'], pattern: /github_pat_[A-Za-z0-9_]{20,255}/g },
  {
    kind: 'gitlab-token',
    anchors: ['glpat-', 'glptt-', 'gldt-', 'glrt-', 'glcbt-', 'glsoat-', 'glft-', 'glimt-', 'glagent-', 'gloas-'],
    pattern: /gl(?:pat|ptt|dt|rt|cbt|soat|ft|imt|agent|oas)-[\w-]{16,255}/g,
  },
  { kind: 'slack-token', anchors: ['xox'], pattern: /xox[abceoprs]-[A-Za-z0-9-]{10,255}/g },
  { kind: 'slack-token', anchors: ['xapp-'], pattern: /xapp-\d-[A-Za-z0-9-]{10,255}/g },
  {
    kind: 'slack-webhook',
    anchors: ['hooks.slack.com/'],
    pattern: /hooks\.slack\.com\/(?:services|workflows|triggers)\/([A-Za-z0-9/_-]{20,255})/g,
  },
  {
    kind: 'aws-access-key',
    anchors: ['AKIA', 'ASIA', 'ABIA', 'ACCA'],
    pattern: new RegExp(`${notInWord}(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])`, 'g'),
  },
  { kind: 'google-api-key', anchors: ['AIza'], pattern: /AIza[\w-]{30,64}/g },
  { kind: 'google-oauth-secret', anchors: ['GOCSPX-'], pattern: /GOCSPX-[\w-]{20,64}/g },
  {
    kind: 'google-oauth-token',
    anchors: ['ya29.'],
    pattern: new RegExp(String.raw`${notInWord}ya29\.[\w-]{20,512}`, 'g'),
  },
  { kind: 'anthropic-key', anchors: ['sk-ant-'], pattern: /sk-ant-[\w-]{16,255}/g },
  {
    kind: 'openai-key',
    anchors: ['sk-'],
    pattern: new RegExp(String.raw`${notInWord}sk-(?:proj|svcacct|admin|or-v1)-[\w-]{16,255}`, 'g'),
  },
  {
    kind: 'openai-key',
    anchors: ['sk-'],
    pattern: new RegExp(String.raw`${notInWord}sk-(?=[A-Za-z]{0,63}\d)[A-Za-z0-9]{32,64}`, 'g'),
  },
  { kind: 'stripe-key', anchors: ['_live_', '_test_'], pattern: /[sr]k_(?:live|test)_[A-Za-z0-9]{10,255}/g },
  { kind: 'stripe-webhook-secret', anchors: ['whsec_'], pattern: /whsec_[A-Za-z0-9+/=]{20,255}/g },
  { kind: 'npm-token', anchors: ['npm_'], pattern: new RegExp(`${notInWord}npm_[A-Za-z0-9]{30,64}`, 'g') },
  { kind: 'pypi-token', anchors: ['pypi-AgE'], pattern: /pypi-AgE[\w-]{40,255}/g },
  {
    kind: 'twilio-key',
    anchors: ['SK'],
    pattern: new RegExp(`${notInWord}SK[0-9a-f]{32}(?![A-Za-z0-9])`, 'g'),
  },
  { kind: 'sendgrid-key', anchors: ['SG.'], pattern: /SG\.[\w-]{16,32}\.[\w-]{16,64}/g },
  { kind: 'digitalocean-token', anchors: ['_v1_'], pattern: /do[opr]_v1_[a-f0-9]{40,64}/g },
  { kind: 'shopify-token', anchors: ['shp'], pattern: /shp(?:at|ca|pa|ss)_[a-fA-F0-9]{24,64}/g },
  { kind: 'huggingface-token', anchors: ['hf_'], pattern: new RegExp(`${notInWord}hf_[A-Za-z]{30,64}`, 'g') },
  { kind: 'databricks-token', anchors: ['dapi'], pattern: new RegExp(`${notInWord}dapi[a-f0-9]{32}`, 'g') },
  { kind: 'linear-key', anchors: ['lin_api_'], pattern: /lin_api_[A-Za-z0-9]{30,64}/g },
  { kind: 'atlassian-token', anchors: ['ATATT3', 'ATCTT3'], pattern: /AT[AC]TT3[\w=-]{30,400}/g },
  { kind: 'docker-token', anchors: ['dckr_pat_'], pattern: /dckr_pat_[\w-]{20,64}/g },
  {
    kind: 'vault-token',
    anchors: ['hvs.', 'hvb.'],
    pattern: new RegExp(String.raw`${notInWord}hv[sb]\.[\w-]{20,300}`, 'g'),
  },
  { kind: 'telegram-token', anchors: [':AA'], pattern: /(?<!\d)\d{8,10}:AA[\w-]{32,36}/g },
  { kind: 'azure-storage-key', anchors: ['AccountKey='], pattern: /AccountKey=([A-Za-z0-9+/=]{40,100})/g },
  { kind: 'newrelic-key', anchors: ['NRAK-'], pattern: /NRAK-[A-Z0-9]{20,40}/g },
  { kind: 'age-key', anchors: ['AGE-SECRET-KEY-1'], pattern: /AGE-SECRET-KEY-1[0-9A-Z]{40,64}/g },
  // Our own: 256 random bits as base64url (src/http/auth.ts).
  {
    kind: 'guild-key',
    anchors: ['guild_'],
    pattern: new RegExp(String.raw`${notInWord}guild_(?=[a-z_]{0,42}[A-Z0-9-])[\w-]{40,64}`, 'g'),
  },
]

interface Anchor {
  readonly text: string
  readonly shape: Shape
}

/** Anchors by their first two characters. */
const byPair = new Map<string, Anchor[]>()
for (const shape of keyShapes) {
  for (const text of shape.anchors) {
    const pair = text.slice(0, 2)
    byPair.set(pair, [...(byPair.get(pair) ?? []), { text, shape }])
  }
}
/** One pass over a text for all of them: most texts have none, and a pattern is told so faster than a loop. */
const anyAnchor = new RegExp(
  keyShapes.flatMap(({ anchors }) => anchors.map((anchor) => anchor.replaceAll('.', String.raw`\.`))).join('|'),
  'g',
)

export const providerKeys: Detector = {
  class: 'secrets',
  find(text) {
    const found: Finding[] = []
    for (const { kind, pattern } of anchoredIn(text))
      found.push(...matchesOf(text, pattern, { class: 'secrets', kind }))
    return found
  },
}

/** The shapes of which an anchor is in the text. */
export function anchoredIn(text: string): ReadonlySet<Shape> {
  const anchored = new Set<Shape>()
  anyAnchor.lastIndex = 0
  for (let hit = anyAnchor.exec(text); hit !== null; hit = anyAnchor.exec(text)) {
    // Anchors overlap, and one may begin inside another: all that begin here, then on from the next character.
    const { index } = hit
    for (const anchor of byPair.get(text.slice(index, index + 2)) ?? []) {
      if (text.startsWith(anchor.text, index)) anchored.add(anchor.shape)
    }
    anyAnchor.lastIndex = index + 1
  }
  return anchored
}
