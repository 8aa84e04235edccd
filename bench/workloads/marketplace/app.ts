/**
 * The Online Marketplace as one application. Every partition worker loads this module, so it holds
 * definitions only.
 */
import { app } from 'sluicedb'
import { services } from './services.js'

export default app(import.meta.url, services)
