/** An owner that answers what nobody asked. */
process.on('message', () => process.send({ did: 'close' }))
process.send({ did: 'open', openMs: 1 })
