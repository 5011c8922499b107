import { runChecks } from '../lib/checks.ts';
import { checks } from './checks.ts';

await runChecks('verify', checks, 'failures');
