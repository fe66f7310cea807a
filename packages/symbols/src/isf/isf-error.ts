/** The text is no ISF file that can be used: one line, what and where (`user_types: not an object`). */
export class IsfError extends Error {
  override readonly name = 'IsfError';

  /** What damaged text put into the message (line breaks, control characters) is made one line of. */
  constructor(message: string) {
    super(Array.from(message, (c) => (c < ' ' ? ' ' : c)).join(''));
  }
}
