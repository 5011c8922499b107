import { checkEvidence, readCapabilities } from './capabilities.ts';
import { readReports } from './reports.ts';
import { conclude } from './verdict.ts';

/** Gate 6: what is called Implemented was shown by tests of the last `make test`. */
await conclude('Gate 6: evidence', checkEvidence(await readCapabilities(), await readReports()));
