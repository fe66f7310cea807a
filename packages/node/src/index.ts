export { defaultCacheFolder } from './cache-folder.ts';
export { type DownloadLimits, type DownloadProgress, defaultDownloadLimits } from './download.ts';
export * from './file-source.ts';
export * from './import-symbols.ts';
export type { IsfCatalogEntry } from './isf-files.ts';
export type { SymbolAnswer, SymbolAttempt } from './symbol-answer.ts';
export * from './symbol-path-options.ts';
export * from './symbol-provider.ts';
export { expandXz } from './xz.ts';
