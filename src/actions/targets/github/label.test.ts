import { expect, it } from 'vitest'
import { githubLabel, githubLabelUndo } from './label.ts'

it.each(['.', '..'])('takes no label called %s: in a path it would name all labels, or the issue', (name) => {
  for (const { type } of [githubLabel, githubLabelUndo]) {
    expect(type.args.safeParse({ repo: 'octo/shop', number: 1, remove: [name] }).success).toBe(false)
    expect(type.args.safeParse({ repo: 'octo/shop', number: 1, remove: [`v1${name}`] }).success).toBe(true)
  }
})
