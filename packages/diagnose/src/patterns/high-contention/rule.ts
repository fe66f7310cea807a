import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import { contendedResources } from './executive-resources.ts';
import { contendedProcessors } from './processors.ts';

/** Threads that get what they want, but only after others: of an executive resource, or of the processors themselves. */
export const highContention: Pattern = definePattern({
  id: 'high-contention',
  title: 'High Contention',
  run: (diagnosis: Diagnosis) => [...contendedResources(diagnosis), ...contendedProcessors(diagnosis)],
});
