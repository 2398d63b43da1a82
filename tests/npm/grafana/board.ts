// What a board's JSON must be, from Grafana's own types. `boards.ts` beside it is generated: a constant for each board
// and each panel. In JSON the members of string enums are their literals, which `Plain` says of a whole type.

import type * as schema from '@grafana/schema';
import type * as raw from '@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen';
import type * as bargauge from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as statetimeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as text from '@grafana/schema/dist/esm/raw/composable/text/panelcfg/x/TextPanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

type Plain<T> = unknown extends T
  ? T
  : T extends string
    ? `${T}`
    : T extends number | boolean | null | undefined
      ? T
      : T extends Array<infer U>
        ? Array<Plain<U>>
        : { [K in keyof T]: Plain<T[K]> };

/** A query as Grafana's Prometheus data source reads it; its type is in another package. */
interface Query extends schema.DataQuery {
  datasource: raw.DataSourceRef;
  editorMode: 'code' | 'builder';
  expr: string;
  format: 'time_series' | 'table' | 'heatmap';
  instant: boolean;
  interval?: string;
  legendFormat?: string;
  range: boolean;
}

/** A link on a value; @grafana/data has its type. */
interface DataLink {
  title: string;
  url: string;
  targetBlank?: boolean;
}

type Field = Omit<Plain<raw.FieldConfig>, 'custom' | 'links'> & { links?: DataLink[] };

type Property<Custom> =
  | { [K in keyof Field]-?: { id: K; value: Exclude<Field[K], undefined> } }[keyof Field]
  | {
      [K in keyof Custom & string]-?: { id: `custom.${K}`; value: Exclude<Plain<Custom[K]>, undefined> };
    }[keyof Custom & string];

interface Shown<Type extends string, Options, Custom>
  extends Omit<Plain<raw.Panel>, 'fieldConfig' | 'options' | 'targets' | 'type'> {
  type: Type;
  id: number;
  gridPos: raw.GridPos;
  options: Plain<Options>;
  targets: Query[];
  fieldConfig: {
    defaults: Field & { custom?: Partial<Plain<Custom>> };
    overrides: Array<{ matcher: raw.MatcherConfig; properties: Array<Property<Custom>> }>;
  };
}

export type StatPanel = Shown<'stat', stat.Options, {}>;
export type BarGaugePanel = Shown<'bargauge', bargauge.Options, {}>;
export type TablePanel = Shown<'table', table.Options, table.FieldConfig>;
export type TimeSeriesPanel = Shown<'timeseries', timeseries.Options, timeseries.FieldConfig>;
export type StateTimelinePanel = Shown<'state-timeline', statetimeline.Options, statetimeline.FieldConfig>;
export type TextPanel = Omit<Plain<raw.Panel>, 'options' | 'type'> & { type: 'text'; options: Plain<text.Options> };
export type RowPanel = Omit<Plain<raw.RowPanel>, 'panels'>;

/** An annotation of Grafana's Prometheus data source, which has these of its own. */
interface Annotation extends Omit<Plain<raw.AnnotationQuery>, 'target'> {
  expr?: string;
  step?: string;
  tagKeys?: string;
  textFormat?: string;
  titleFormat?: string;
  target: { expr: string; interval?: string; refId: string };
}

/** A board without its panels, which stand beside it. */
export type Board = Omit<Plain<raw.Dashboard>, 'panels' | 'annotations'> & { annotations?: { list?: Annotation[] } };
