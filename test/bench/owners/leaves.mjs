/** An owner that says it is open, and leaves when it is given something to do. */
process.on('message', () => {
  process.stderr.write('out of ideas\n')
  process.exit(3)
})
process.send({ did: 'open', openMs: 1 })
