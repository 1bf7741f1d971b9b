{{- define "tracer.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "tracer.serviceAccount" -}}
{{- default (include "tracer.name" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "tracer.selectorLabels" -}}
app.kubernetes.io/name: tracer
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tracer.labels" -}}
{{ include "tracer.selectorLabels" . }}
app.kubernetes.io/component: agent
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The names of the cloud, as the option resource-attribute takes them. */}}
{{- define "tracer.resourceAttributes" -}}
{{- $attributes := list -}}
{{- with .Values.cluster.cloud -}}
{{- with .provider }}{{ $attributes = append $attributes (printf "cloud.provider=%s" .) }}{{ end -}}
{{- with .platform }}{{ $attributes = append $attributes (printf "cloud.platform=%s" .) }}{{ end -}}
{{- with .region }}{{ $attributes = append $attributes (printf "cloud.region=%s" .) }}{{ end -}}
{{- with .account }}{{ $attributes = append $attributes (printf "cloud.account.id=%s" .) }}{{ end -}}
{{- end -}}
{{- toYaml $attributes -}}
{{- end -}}

{{/* The agent's configuration file. */}}
{{- define "tracer.config" -}}
{{- $config := dict "pod-selector" .Values.podSelectors "logs" .Values.logs "sdk-targets" .Values.sdkTargets "sql-text" .Values.sqlText "redis-keys" .Values.redisKeys "ring-size" .Values.ringSize -}}
{{- with .Values.namespaces }}{{ $_ := set $config "namespace" . }}{{ end -}}
{{- with .Values.cluster.name }}{{ $_ := set $config "cluster-name" . }}{{ end -}}
{{- with include "tracer.resourceAttributes" . | fromYamlArray }}{{ $_ := set $config "resource-attribute" . }}{{ end -}}
{{- range $key, $value := .Values.extraConfig }}{{ $_ := set $config $key $value }}{{ end -}}
{{- toYaml $config -}}
{{- end -}}
