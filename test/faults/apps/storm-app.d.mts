/** Types of storm-app.mjs, which is plain JavaScript because processes run it without a loader. */
import type { App, Procedure } from 'sluicedb'

declare const application: App
export default application
export declare const count: Procedure<{ id: string }, number>
