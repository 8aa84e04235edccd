/** The version of the package, as package.json has it (a test compares them): for `sluice --version`. */
export const version = '0.1.0'
