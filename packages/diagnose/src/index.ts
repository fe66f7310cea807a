export * from './engine/diagnose.ts';
export * from './report/report.ts';
export * from './report/text.ts';
