{{- define "tracer.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Names of what belongs to no namespace: releases of one name in two namespaces must not take each other's. */}}
{{- define "tracer.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "tracer.name" .) -}}
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

{{/* Refuses what is no label selector, in words; the agent would refuse it on every node. */}}
{{- define "tracer.checkSelectors" -}}
{{- $name := "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?" -}}
{{- $key := printf "([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?%s" $name -}}
{{- $values := printf "\\(\\s*(%s)?\\s*(,\\s*(%s)?\\s*)*\\)" $name $name -}}
{{- $term := printf "(!\\s*%s|%s(\\s*(=|==|!=)\\s*(%s)?|\\s+(in|notin)\\s*%s|\\s*[<>]\\s*[0-9]+)?)" $key $key $name $values -}}
{{- range .Values.podSelectors -}}
{{- if not (regexMatch (printf "^\\s*%s\\s*(,\\s*%s\\s*)*$" $term $term) .) -}}
{{- fail (printf "podSelectors: %q is not a label selector. Write it as for kubectl: app=shop, tier in (a,b), !canary. With --set, a comma within a selector is written \\," .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The agent's configuration file. */}}
{{- define "tracer.config" -}}
{{- include "tracer.checkSelectors" . -}}
{{- $config := dict "logs" .Values.logs "sdk-targets" .Values.sdkTargets "sql-text" .Values.sqlText "redis-keys" .Values.redisKeys "ring-size" .Values.ringSize -}}
{{- with .Values.podSelectors }}{{ $_ := set $config "pod-selector" . }}{{ end -}}
{{- with .Values.namespaces }}{{ $_ := set $config "namespace" . }}{{ end -}}
{{- with .Values.containers }}{{ $_ := set $config "container" . }}{{ end -}}
{{- with .Values.healthChecks.mode }}{{ $_ := set $config "health-checks" . }}{{ end -}}
{{- with .Values.healthChecks.paths }}{{ $_ := set $config "health-path" . }}{{ end -}}
{{- with .Values.healthChecks.agents }}{{ $_ := set $config "health-agent" . }}{{ end -}}
{{- with .Values.healthChecks.sample }}{{ $_ := set $config "health-sample" (float64 .) }}{{ end -}}
{{- with .Values.cluster.name }}{{ $_ := set $config "cluster-name" . }}{{ end -}}
{{- with include "tracer.resourceAttributes" . | fromYamlArray }}{{ $_ := set $config "resource-attribute" . }}{{ end -}}
{{- range $key, $value := .Values.extraConfig }}{{ $_ := set $config $key $value }}{{ end -}}
{{- toYaml $config -}}
{{- end -}}
