/** docs/errors.md, read back: one heading for each code, a line that says whether to try again, and what is still to come. */
export interface CodeOnPage {
  readonly code: string
  readonly isRetryable: boolean
  readonly isToCome: boolean
}

export function codesOf(page: string): readonly CodeOnPage[] {
  return page
    .split(/^## /m)
    .slice(1)
    .map((section) => {
      const code = /^`?([A-Z_]+)`?\n/.exec(section)?.[1]
      if (code === undefined) throw new Error(`a heading that is no code: ${section.slice(0, 60)}`)
      const retry = /^Retryable: (yes|no)\b/m.exec(section)?.[1]
      if (retry === undefined) throw new Error(`${code} does not say whether it is retryable`)
      return { code, isRetryable: retry === 'yes', isToCome: section.includes('Not met in this version') }
    })
}
