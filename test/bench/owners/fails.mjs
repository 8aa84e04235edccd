/** An owner that reports a failure. */
process.on('message', () => process.send({ did: 'fail', message: 'LOG_FAILED: no space left' }))
process.send({ did: 'open', openMs: 1 })
