/** The text is no ISF file that can be used: one line, what and where (`user_types: not an object`). */
export class IsfError extends Error {
  override readonly name = 'IsfError';
}
