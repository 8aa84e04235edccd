/** What the serial oracle found (stories.ts), so that it stays found. */
import { test } from 'vitest'
import { stories } from './stories.js'

test.each(Object.entries(stories))('%s', { timeout: 60_000 }, (_, story) => story())
