{{/* What of a rollout follows from stage, weight and name. All take the root. */}}

{{/* "true" when there is a challenger. */}}
{{- define "fraud-platform.scoring.challenged" -}}
{{- if ne .Values.rollout.stage "none" }}true{{ end -}}
{{- end -}}

{{/* "true" when a gateway splits the traffic. Otherwise replica counts do: the Service then has both sides' pods. */}}
{{- define "fraud-platform.scoring.routed" -}}
{{- if eq .Values.expose.kind "gateway" }}true{{ end -}}
{{- end -}}

{{/* Pods of a side: (dict "root" $ "role" ..). */}}
{{- define "fraud-platform.scoring.replicas" -}}
{{- $values := .root.Values -}}
{{- $share := 0 -}}
{{- if and (eq $values.rollout.stage "canary") (not (include "fraud-platform.scoring.routed" .root)) -}}
{{- $share = div (mul $values.replicas $values.rollout.weight) 100 -}}
{{- end -}}
{{- if eq .role "champion" -}}
{{- sub $values.replicas $share -}}
{{- else -}}
{{- ternary (int $share) (int $values.challenger.replicas) (and (eq $values.rollout.stage "canary") (not (include "fraud-platform.scoring.routed" .root))) -}}
{{- end -}}
{{- end -}}

{{/*
Buckets of the challenger at the rollout's weight, separated by blanks: the first `weight` of all hundred, ordered by a hash
of the rollout's name and the bucket. A growing weight only adds to them.
*/}}
{{- define "fraud-platform.scoring.buckets" -}}
{{- $order := list -}}
{{- range $bucket := until 100 -}}
{{- $order = append $order (printf "%s %02d" (sha256sum (printf "%s/%02d" $.Values.rollout.name $bucket)) $bucket) -}}
{{- end -}}
{{- $chosen := list -}}
{{- range $place := slice (sortAlpha $order) 0 (int .Values.rollout.weight) -}}
{{- $chosen = append $chosen (splitList " " $place | last) -}}
{{- end -}}
{{- join " " (sortAlpha $chosen) -}}
{{- end -}}

{{/* Kind of update: two pods may not write one embedded store or one SQLite file, so the old one ends first. */}}
{{- define "fraud-platform.scoring.alone" -}}
{{- if or (eq .Values.global.features.store "embedded") (eq .Values.global.records.database "sqlite") }}true{{ end -}}
{{- end -}}
