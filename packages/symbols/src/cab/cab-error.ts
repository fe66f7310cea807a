/** A cabinet that cannot be expanded: one line, what is wrong and where. */
export class CabError extends Error {
  override readonly name = 'CabError';
}
