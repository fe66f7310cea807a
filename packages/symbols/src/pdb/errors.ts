/** The file is no PDB that can be read, or a part of it is damaged: one line, what and where. */
export class PdbError extends Error {
  override readonly name = 'PdbError';
}
