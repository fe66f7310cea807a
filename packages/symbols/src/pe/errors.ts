/** The bytes are no PE image, or the part asked for cannot be read from it: one line, what and where. */
export class PeError extends Error {
  override readonly name = 'PeError';
}
