export * from './engine/diagnose.ts';
export * from './report/explain.ts';
export * from './report/redact.ts';
export * from './report/report.ts';
export * from './report/text.ts';
